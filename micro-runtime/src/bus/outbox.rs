//! `Outbox`: collects the requests that one burst of replies brings about, and sends them in one write.
//!
//! # Why
//!
//! With many calls in flight, replies arrive in bursts and wake their callers together; each of those sends
//! its next request. tokio runs the task that was woken last before all others. So the first caller that
//! publishes, which wakes async-nats's connection task, has that task run right behind it: it writes this one
//! request, then the next caller runs. By hand, every second request is a system call of its own (0.43 to 0.51
//! `writev` a call at 512 in flight); with the outbox 0.022 (docs/PERFORMANCE.md).
//!
//! # How
//!
//! A task of the connection (`outbox_task`) collects requests. Woken by the first, it yields once, and so goes behind
//! every task that could run when that request came in; then it hands all requests to async-nats together.
//!
//! # Invariants
//!
//! - **[`enqueue`](Outbox::enqueue) never waits**, and a request is queued only while a task exists that will
//!   send it: the end of that task closes the outbox and fails what is queued.
//! - **Requests have no promised order among each other**, but [`flush`](Outbox::flush) puts all of them before
//!   what its caller publishes next. It waits for the sending task, which alone takes requests: they are those of many
//!   callers, and a flush that is given up must not take any of them along.
//! - **One lock**, held for a few instructions and never while a waker is called or anything is awaited.
//! - **A request whose caller has gone is not sent**: its slot was freed, and it would only cost a handler.

use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::oneshot;

use crate::bus::connection_counts::ConnectionCounts;
use crate::bus::mux::Mux;
use crate::bus::outgoing::Outgoing;
use crate::status::{Reason, Status};
use crate::sync::lock;
use crate::wire::CancelToken;

/// Maximum number of requests queued here. Further ones wait, as all messages do, for the window of the link and for
/// async-nats's own queue.
const MAX_QUEUED: usize = 1024;
/// Maximum length of a request that is batched, in bytes. A longer one fills a write by itself, so the wait would
/// gain nothing; and the outbox holds 4 MiB at most.
const MAX_BATCHED_LEN: usize = 4096;

/// Maximum number of calls whose cancellation is queued.
pub(super) const MAX_CANCELED: usize = 65_536;
/// Interval at which the end of a connection looks whether cancellations are sent.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The requests of one connection that wait for the end of a burst.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queued: Vec<Outgoing>,
    /// Calls to cancel, with the subject of their cancellation.
    canceled: Vec<(Subject, CancelToken)>,
    /// Number of requests that were queued so far.
    total: u64,
    /// Those who wait until so many requests have been handed over.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    /// Waker of the sending task while it waits for a first request.
    task: Option<Waker>,
    is_closed: bool,
}

impl Outbox {
    /// Queues a request, and wakes the sending task if it waits.
    ///
    /// Returns a request that cannot be batched: one that is long, that might not fit into a NATS message (so
    /// that its error reaches the caller directly), that finds no room, or that comes after the sending task
    /// has ended.
    pub(super) fn enqueue(&self, outgoing: Outgoing, max_payload: usize) -> Option<Outgoing> {
        if outgoing.size() > max_payload.min(MAX_BATCHED_LEN) {
            return Some(outgoing);
        }
        let mut state = lock(&self.state);
        if state.is_closed || state.queued.len() >= MAX_QUEUED {
            return Some(outgoing);
        }
        state.queued.push(outgoing);
        state.total += 1;
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        None
    }

    /// Queues the cancellation of a call, which goes out with others of the same burst, behind the requests that are
    /// queued; without a link, with the next one. Never waits; beyond [`MAX_CANCELED`] it is dropped, which is counted
    /// and logged, and the handler runs to its end.
    pub(super) fn cancel(&self, subject: Subject, token: CancelToken, counts: &ConnectionCounts) {
        let mut state = lock(&self.state);
        if state.is_closed {
            return;
        }
        if state.canceled.len() >= MAX_CANCELED {
            drop(state);
            return counts.dropped_cancel();
        }
        state.canceled.push((subject, token));
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Has the sending task look again: there is another link, or none.
    pub(super) fn wake(&self) {
        let task = lock(&self.state).task.take();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Waits until a request is queued, or a cancellation, and that `has_link`. For the sending task alone, which has
    /// handed over all that it took: one waker is kept.
    pub(super) fn poll_nonempty(
        &self,
        cx: &mut Context<'_>,
        has_link: impl Fn() -> bool,
    ) -> Poll<()> {
        let mut state = lock(&self.state);
        let ended = state.take_ended_flushes();
        let mut is_empty = state.queued.is_empty();
        if is_empty {
            state.task = Some(cx.waker().clone());
            // In this order: who makes a link wakes the task behind it.
            is_empty = state.canceled.is_empty() || !has_link();
        }
        drop(state);
        for flush in ended {
            let _ = flush.send(());
        }
        match is_empty {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Returns once nothing is queued any more, cancellations neither. Cancel safe.
    pub(super) async fn emptied(&self) {
        self.flush().await;
        while self.has_canceled() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    pub(super) fn has_canceled(&self) -> bool {
        !lock(&self.state).canceled.is_empty()
    }

    pub(super) fn take_canceled(&self) -> Vec<(Subject, CancelToken)> {
        std::mem::take(&mut lock(&self.state).canceled)
    }

    /// Moves requests of `max` bytes at most from the queue to `batch`, which is empty; at least one.
    pub(super) fn take(&self, batch: &mut Vec<Outgoing>, max: usize) {
        let mut state = lock(&self.state);
        let mut bytes = 0;
        let fits = |request: &Outgoing| {
            bytes += request.size();
            bytes <= max
        };
        match state.queued.len() <= max / MAX_BATCHED_LEN || state.queued.iter().all(fits) {
            // The memory of the last batch becomes the next queue, so that a busy connection allocates none.
            true => std::mem::swap(&mut state.queued, batch),
            false => {
                let mut bytes = 0;
                let fitting = state.queued.iter().take_while(|request| {
                    bytes += request.size();
                    bytes <= max
                });
                let count = fitting.count().max(1);
                batch.extend(state.queued.drain(..count));
            }
        }
    }

    /// Returns once what is queued now has been handed to async-nats, so that it precedes what the caller publishes
    /// next. Cancel safe.
    pub(super) async fn flush(&self) {
        // An error if the outbox is closed: nothing is queued any more.
        let _ = self.flushed().await;
    }

    /// Returns a receiver that completes once everything that is queued now has been handed over.
    fn flushed(&self) -> oneshot::Receiver<()> {
        let (sender, flushed) = oneshot::channel();
        let mut state = lock(&self.state);
        let total = state.total;
        if !state.is_closed {
            state.flushes.push((total, sender));
        }
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        flushed
    }

    /// Takes nothing further, and fails the requests that would otherwise wait for their deadline.
    pub(super) fn close(&self, mux: &Mux) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let queued = std::mem::take(&mut state.queued);
        let flushes = std::mem::take(&mut state.flushes);
        drop(state);
        drop(flushes);
        for reply in queued.iter().filter_map(|request| request.reply.as_ref()) {
            mux.fail(reply, connection_closed());
        }
    }
}

impl State {
    /// Takes those who wait for requests that have been handed over: all that are not queued.
    fn take_ended_flushes(&mut self) -> Vec<oneshot::Sender<()>> {
        let sent = self.total - self.queued.len() as u64;
        let ended = self.flushes.extract_if(.., |(total, _)| *total <= sent);
        ended.map(|(_, flush)| flush).collect()
    }
}

/// Returns the error of a request whose connection has ended before it was sent.
pub(super) fn connection_closed() -> Status {
    let text = "the request could not be sent: the connection is closed";
    Reason::Disconnected.status(text)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
