//! Requests that leave together: what one burst of replies brings about goes out in one write.
//!
//! tokio runs the task that was woken last before all others. The first caller of a burst that
//! publishes wakes the connection's task, which so would write this one request before the next
//! caller is polled. Instead a task of our own collects requests until everybody has been polled
//! who could run when the first came in.

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

/// So many wait here at most; more wait, as everything else, for the connection's own queue.
const MAX_QUEUED: usize = 1024;
/// A longer one, in bytes, is not worth the wait; nor may what waits here take much memory.
const MAX_BATCHED_LEN: usize = 4096;

/// The requests that wait for the end of a burst, in no promised order.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Held by who takes requests out, until they are sent.
    send_lock: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    queued: Vec<Outgoing>,
    /// Wakes the task that sends, if it sleeps.
    task: Option<Waker>,
    is_closed: bool,
}

impl Outbox {
    /// Takes a request that is certain to fit into a NATS message. What is long or finds no room
    /// comes back.
    pub(super) fn enqueue(&self, outgoing: Outgoing, max_payload: usize) -> Option<Outgoing> {
        if outgoing.size() > max_payload.min(MAX_BATCHED_LEN) {
            return Some(outgoing);
        }
        let mut state = lock(&self.state);
        if state.is_closed || state.queued.len() >= MAX_QUEUED {
            return Some(outgoing);
        }
        state.queued.push(outgoing);
        let sender = state.task.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        None
    }

    fn poll_nonempty(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.queued.is_empty() {
            state.task = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Sends what waits now, before what its caller sends next.
    pub(super) async fn flush(&self, client: &Client, mux: &Mux) {
        self.send(&mut Vec::new(), client, mux).await;
    }

    async fn send(&self, batch: &mut Vec<Outgoing>, client: &Client, mux: &Mux) {
        let _sending = self.send_lock.lock().await;
        std::mem::swap(&mut lock(&self.state).queued, batch);
        // A budget that is used up would look like a queue that is full.
        unconstrained(send_all(batch, client, mux)).await;
    }
}

/// Closes the outbox when the task that sends is gone, with its connection or its runtime: nobody
/// waits for what nobody sends.
struct CloseOnDrop<'a>(&'a Outbox, &'a Mux);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let Self(outbox, mux) = self;
        let mut state = lock(&outbox.state);
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.queued);
        drop(state);
        for reply in waiting.iter().filter_map(|request| request.reply.as_ref()) {
            mux.fail(reply, connection_closed());
        }
    }
}

/// Sends what is put into the outbox, for ever; a call whose request cannot be sent fails.
pub(super) async fn run(outbox: Arc<Outbox>, client: Client, mux: Arc<Mux>) {
    let _closing = CloseOnDrop(&outbox, &mux);
    let mut batch = Vec::new();
    loop {
        poll_fn(|cx| outbox.poll_nonempty(cx)).await;
        yield_to_ready_tasks().await;
        outbox.send(&mut batch, &client, &mux).await;
    }
}

/// Hands requests to the connection, in order, and leaves those out whose callers are gone. Where
/// its queue is full the rest waits in line at once, since whoever finds no room here waits there.
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

async fn send(outgoing: Outgoing, client: &Client, mux: &Mux) {
    let reply = outgoing.reply.clone();
    if let Err(error) = publish(client, outgoing).await
        && let Some(reply) = reply
    {
        mux.fail(&reply, error.into_status("the request"));
    }
}

/// Returns when everybody who could run now has been polled. `yield_now` would wait until there is
/// nobody left, and look for input first.
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

/// Nobody is there any more who sends.
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
    fn a_burst_wakes_the_sender_once() {
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
    fn what_is_long_or_finds_no_room_comes_back_whole() {
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
    fn what_waits_when_the_sender_ends_fails_and_nothing_more_is_taken() {
        let outbox = Outbox::default();
        let mux = Arc::new(Mux::new("_INBOX.x"));
        let (mut waiting, reply) = mux.reserve(false);
        let request = Outgoing {
            reply: Some(reply),
            ..outgoing(7)
        };
        assert!(outbox.enqueue(request, 100).is_none());
        drop(CloseOnDrop(&outbox, &mux));
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Err(status)) = waiting.poll(cx) else {
            panic!("the call waits on");
        };
        assert_eq!(status.reason(), Some(Reason::Disconnected));
        assert!(outbox.enqueue(outgoing(7), 100).is_some());
    }

    #[test]
    fn requests_of_callers_that_are_gone_are_left_out() {
        let mux = Arc::new(Mux::new("_INBOX.x"));
        let (stays, first) = mux.reserve(false);
        let (goes, second) = mux.reserve(false);
        let (fails, third) = mux.reserve(false);
        drop(goes);
        mux.fail(&third, connection_closed());
        let mut subjects = vec![first.clone(), second, third, "elsewhere".into()];
        mux.retain_waiting(&mut subjects, |subject| Some(subject));
        assert_eq!(subjects, [first, "elsewhere".into()]);
        drop((stays, fails));
    }
}
