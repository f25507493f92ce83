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
//! A task of the connection collects requests. Woken by the first, it yields once, and so goes behind every task
//! that could run when that request came in; then it hands all requests to async-nats together.
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

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::Subject;
use futures_util::future::{join, join_all};
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

use crate::bus::cancel_messages::send_cancellations;
use crate::bus::link::{CurrentLink, Link};
use crate::bus::mux::Mux;
use crate::bus::outgoing::Outgoing;
use crate::log_limit::LogLimit;
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
    /// Of cancellations that were dropped.
    overflows: LogLimit,
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
    /// queued; without a link, with the next one. Never waits; beyond [`MAX_CANCELED`] it is dropped, which is logged,
    /// and the handler runs to its end.
    pub(super) fn cancel(&self, subject: Subject, token: CancelToken) {
        let mut state = lock(&self.state);
        if state.is_closed {
            return;
        }
        if state.canceled.len() >= MAX_CANCELED {
            drop(state);
            if let Some(count) = self.overflows.due() {
                tracing::warn!(
                    count,
                    "too many calls were dropped at once: handlers run to their end"
                );
            }
            return;
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
    fn poll_nonempty(&self, cx: &mut Context<'_>, has_link: impl Fn() -> bool) -> Poll<()> {
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

    fn has_canceled(&self) -> bool {
        !lock(&self.state).canceled.is_empty()
    }

    fn take_canceled(&self) -> Vec<(Subject, CancelToken)> {
        std::mem::take(&mut lock(&self.state).canceled)
    }

    /// Moves requests of `max` bytes at most from the queue to `batch`, which is empty; at least one.
    fn take(&self, batch: &mut Vec<Outgoing>, max: usize) {
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
}

impl State {
    /// Takes those who wait for requests that have been handed over: all that are not queued.
    fn take_ended_flushes(&mut self) -> Vec<oneshot::Sender<()>> {
        let sent = self.total - self.queued.len() as u64;
        let ended = self.flushes.extract_if(.., |(total, _)| *total <= sent);
        ended.map(|(_, flush)| flush).collect()
    }
}

/// Closes the outbox when the sending task ends, with its connection or its runtime, and fails the requests
/// that would otherwise wait for their deadline.
struct CloseOnDrop<'a>(&'a Outbox, &'a Mux);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let Self(outbox, mux) = self;
        let mut state = lock(&outbox.state);
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

/// The sending task: sends what is queued, for ever. A request that cannot be sent fails its call.
pub(super) async fn run(outbox: Arc<Outbox>, current: Arc<CurrentLink>, mux: Arc<Mux>) {
    let _close = CloseOnDrop(&outbox, &mux);
    let mut batch = Vec::new();
    loop {
        let has_link = || {
            let link = current.peek();
            link.as_ref()
                .is_some_and(|link| !link.lost().is_cancelled())
        };
        poll_fn(|cx| outbox.poll_nonempty(cx, has_link)).await;
        yield_to_ready_tasks().await;
        match current.get() {
            Some(link) => {
                // What waits for room is still here, where its caller can give it up.
                let room = link.room().await;
                if link.lost().is_cancelled() {
                    fail_all(&outbox, &mut batch, &current, &mux);
                    continue;
                }
                outbox.take(&mut batch, room);
                // Without the cooperative budget: once it is used up, a channel with room returns `Pending`, which
                // `send_all` would take for a full queue.
                unconstrained(send_all(&mut batch, &link, &mux)).await;
                // Those of calls that have ended with this link go through the next one.
                if !outbox.has_canceled() || link.lost().is_cancelled() {
                    continue;
                }
                send_cancellations(outbox.take_canceled(), &link).await;
            }
            None => fail_all(&outbox, &mut batch, &current, &mux),
        }
    }
}

/// Requests that were taken and are not handed over yet. Those that are left when the sending task ends fail.
struct Rest<'a> {
    requests: std::vec::Drain<'a, Outgoing>,
    mux: &'a Mux,
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        for reply in self.requests.by_ref().filter_map(|request| request.reply) {
            self.mux.fail(&reply, connection_closed());
        }
    }
}

/// The call of a request that is being handed over. It fails when the sending task ends before.
struct FailOnDrop<'a> {
    reply: Option<Subject>,
    mux: &'a Mux,
}

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            self.mux.fail(&reply, connection_closed());
        }
    }
}

/// Fails requests that find no connection.
fn fail_all(outbox: &Outbox, batch: &mut Vec<Outgoing>, current: &CurrentLink, mux: &Mux) {
    outbox.take(batch, usize::MAX);
    for reply in batch.drain(..).filter_map(|request| request.reply) {
        mux.fail(&reply, current.absence().into_status("the request"));
    }
}

/// Hands requests to async-nats in order, without those whose callers have gone.
///
/// Usually its queue has room and each request is polled once, on the stack. Where the queue is full, the rest
/// is polled concurrently, so that all of them line up for its room at once: callers that find the outbox full
/// line up there too, and would otherwise overtake requests that came before theirs.
async fn send_all(batch: &mut Vec<Outgoing>, link: &Link, mux: &Mux) {
    mux.retain_waiting(batch);
    let mut rest = Rest {
        requests: batch.drain(..),
        mux,
    };
    while let Some(outgoing) = rest.requests.next() {
        let mut first = pin!(send(outgoing, link, mux));
        let sent = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
        if sent.is_pending() {
            let others = rest
                .requests
                .by_ref()
                .map(|outgoing| send(outgoing, link, mux));
            join(first, join_all(others)).await;
        }
    }
}

/// Publishes one request; ends the wait for its reply if that fails, since its caller no longer watches. A request that
/// had to wait, and whose caller has gone meanwhile, is not sent.
async fn send(outgoing: Outgoing, link: &Link, mux: &Mux) {
    let mut call = FailOnDrop {
        reply: outgoing.reply.clone(),
        mux,
    };
    let mut publishing = pin!(link.publish(outgoing));
    let mut has_waited = false;
    let published = poll_fn(|cx| {
        let reply = call.reply.as_ref();
        if has_waited && !reply.is_none_or(|reply| mux.mark_sent(reply)) {
            return Poll::Ready(Ok(()));
        }
        let published = publishing.as_mut().poll(cx);
        has_waited = published.is_pending();
        if has_waited && let Some(reply) = reply {
            mux.mark_unsent(reply);
        }
        published
    })
    .await;
    if let (Err(error), Some(reply)) = (published, call.reply.take()) {
        mux.fail(&reply, error.into_status("the request"));
    }
}

/// Returns once every task that is ready now has been polled: waking itself puts this task at the end of the
/// run queue.
///
/// Not `tokio::task::yield_now`, which defers the wake-up until the worker has no task left and has polled for
/// input: on a busy worker the requests would wait for all that.
async fn yield_to_ready_tasks() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Returns the error of a request whose connection has ended before it was sent.
fn connection_closed() -> Status {
    let text = "the request could not be sent: the connection is closed";
    Reason::Disconnected.status(text)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
