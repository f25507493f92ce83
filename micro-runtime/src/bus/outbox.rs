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
//!   what its caller publishes next.
//! - **Two locks.** `send_lock` is taken before `state` and may be held while waiting; `state` is held for a few
//!   instructions and never while a waker is called or anything is awaited.
//! - **A request whose caller has gone is not sent**: its slot was freed, and it would only cost a handler.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_nats::Client;
use futures_util::future::{join, join_all};
use tokio::task::coop::unconstrained;

use crate::bus::mux::Mux;
use crate::bus::nats::publish;
use crate::bus::outgoing::Outgoing;
use crate::status::{Reason, Status};
use crate::sync::lock;

/// Maximum number of requests queued here. Further ones wait, as all messages do, for async-nats's own queue.
const MAX_QUEUED: usize = 1024;
/// Maximum length of a request that is batched, in bytes. A longer one fills a write by itself, so the wait would
/// gain nothing; and the outbox holds 4 MiB at most.
const MAX_BATCHED_LEN: usize = 4096;

/// The requests of one connection that wait for the end of a burst.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Held while requests that were taken out are handed to async-nats: a concurrent
    /// [`flush`](Outbox::flush) waits for them too, and does not return while some are in neither queue.
    send_lock: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    queued: Vec<Outgoing>,
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
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        None
    }

    /// Waits until a request is queued. For the sending task alone: one waker is kept.
    fn poll_nonempty(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.queued.is_empty() {
            state.task = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Sends what is queued now, so that it precedes what the caller publishes next.
    pub(super) async fn flush(&self, client: &Client, mux: &Mux) {
        self.send(&mut Vec::new(), client, mux).await;
    }

    /// Takes all queued requests into `batch`, which must be empty, and hands them to async-nats. The memory of
    /// `batch` becomes the next queue, so that a busy connection allocates none.
    async fn send(&self, batch: &mut Vec<Outgoing>, client: &Client, mux: &Mux) {
        let _sending = self.send_lock.lock().await;
        std::mem::swap(&mut lock(&self.state).queued, batch);
        // Without the cooperative budget: once it is used up, a channel with room returns `Pending`, which
        // `send_all` would take for a full queue.
        unconstrained(send_all(batch, client, mux)).await;
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
        drop(state);
        for reply in queued.iter().filter_map(|request| request.reply.as_ref()) {
            mux.fail(reply, connection_closed());
        }
    }
}

/// The sending task: sends what is queued, for ever. A request that cannot be sent fails its call.
pub(super) async fn run(outbox: Arc<Outbox>, client: Client, mux: Arc<Mux>) {
    let _close = CloseOnDrop(&outbox, &mux);
    let mut batch = Vec::new();
    loop {
        poll_fn(|cx| outbox.poll_nonempty(cx)).await;
        yield_to_ready_tasks().await;
        outbox.send(&mut batch, &client, &mux).await;
    }
}

/// Hands requests to async-nats in order, without those whose callers have gone.
///
/// Usually its queue has room and each request is polled once, on the stack. Where the queue is full, the rest
/// is polled concurrently, so that all of them line up for its room at once: callers that find the outbox full
/// line up there too, and would otherwise overtake requests that came before theirs.
async fn send_all(batch: &mut Vec<Outgoing>, client: &Client, mux: &Mux) {
    mux.retain_waiting(batch, |outgoing| outgoing.reply.as_ref());
    let mut rest = batch.drain(..);
    while let Some(outgoing) = rest.next() {
        let mut first = pin!(send(outgoing, client, mux));
        let sent = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
        if sent.is_pending() {
            let others = rest.by_ref().map(|outgoing| send(outgoing, client, mux));
            join(first, join_all(others)).await;
        }
    }
}

/// Publishes one request; ends the wait for its reply if that fails, since its caller no longer watches.
async fn send(outgoing: Outgoing, client: &Client, mux: &Mux) {
    let reply = outgoing.reply.clone();
    if let Err(error) = publish(client, outgoing).await
        && let Some(reply) = reply
    {
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use async_nats::Subject;
    use bytes::Bytes;

    use super::*;

    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn outgoing(length: usize) -> Outgoing {
        Outgoing::to(Subject::from("a.B.C"), Bytes::from(vec![0; length]))
    }

    #[test]
    fn a_burst_wakes_the_sending_task_once() {
        let outbox = Outbox::default();
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = &mut Context::from_waker(&waker);
        assert!(outbox.poll_nonempty(cx).is_pending());
        for length in 0..10 {
            assert!(outbox.enqueue(outgoing(length), 1 << 20).is_none());
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(outbox.poll_nonempty(cx).is_ready());
        assert_eq!(lock(&outbox.state).queued.len(), 10);
    }

    #[test]
    fn a_request_that_is_long_or_finds_no_room_is_returned_whole() {
        let outbox = Outbox::default();
        let returned = |length, max| match outbox.enqueue(outgoing(length), max) {
            Some(outgoing) => outgoing.payload.len(),
            None => panic!("{length} bytes were taken"),
        };
        assert_eq!(returned(MAX_BATCHED_LEN + 1, 1 << 20), MAX_BATCHED_LEN + 1);
        assert_eq!(returned(101, 100), 101);
        for _ in 0..MAX_QUEUED {
            assert!(outbox.enqueue(outgoing(50), 100).is_none());
        }
        assert_eq!(returned(7, 100), 7);
    }

    #[test]
    fn the_end_of_the_sending_task_fails_what_is_queued_and_closes_the_outbox() {
        let outbox = Outbox::default();
        let mux = Arc::new(Mux::new("_INBOX.x"));
        let (mut slot, reply) = mux.reserve();
        let request = Outgoing {
            reply: Some(reply),
            ..outgoing(7)
        };
        assert!(outbox.enqueue(request, 100).is_none());
        drop(CloseOnDrop(&outbox, &mux));
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Err(status)) = slot.poll(cx) else {
            panic!("the call waits on");
        };
        assert_eq!(status.reason(), Some(Reason::Disconnected));
        assert!(outbox.enqueue(outgoing(7), 100).is_some());
    }

    #[test]
    fn requests_of_callers_that_have_gone_are_removed() {
        let mux = Arc::new(Mux::new("_INBOX.x"));
        let (stays, first) = mux.reserve();
        let (goes, second) = mux.reserve();
        let (fails, third) = mux.reserve();
        drop(goes);
        mux.fail(&third, connection_closed());
        let mut subjects = vec![first.clone(), second, third, "elsewhere".into()];
        mux.retain_waiting(&mut subjects, |subject| Some(subject));
        assert_eq!(subjects, [first, "elsewhere".into()]);
        drop((stays, fails));
    }
}
