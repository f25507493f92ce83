//! Requests that leave together: what one burst of replies brings about goes out in one write.
//!
//! tokio runs the task that was woken last before all others. The first caller of a burst that
//! publishes wakes the connection's task, which so would write this one request before the next
//! caller is polled. Instead a task of our own collects requests until everybody has been polled
//! who could run when the first came in.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_nats::Client;

use crate::bus::nats::publish;
use crate::bus::{Outgoing, PublishError};
use crate::mux::Mux;
use crate::status::{Code, Reason, Status};
use crate::sync::lock;

/// So many wait here at most; more wait, as everything else, for the connection's own queue.
const MOST: usize = 1024;
/// A longer one, in bytes, is not worth the wait; nor may what waits here take much memory.
const LONGEST: usize = 4096;

/// The requests that wait for the end of a burst, in no promised order.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Outgoing>,
    /// Wakes the task that sends, if it sleeps.
    sender: Option<Waker>,
}

impl Outbox {
    /// Takes a request that is certain to fit into a NATS message. What is long or finds no room
    /// comes back.
    pub(super) fn put(&self, outgoing: Outgoing, max_payload: usize) -> Option<Outgoing> {
        if outgoing.size() > max_payload.min(LONGEST) {
            return Some(outgoing);
        }
        let mut state = lock(&self.state);
        if state.waiting.len() >= MOST {
            return Some(outgoing);
        }
        state.waiting.push(outgoing);
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        None
    }

    fn poll_filled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            state.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Swaps what waits for an empty list.
    fn take(&self, batch: &mut Vec<Outgoing>) {
        std::mem::swap(&mut lock(&self.state).waiting, batch);
    }
}

/// Sends what is put into the outbox, for ever; a call whose request cannot be sent fails.
pub(super) async fn run(outbox: Arc<Outbox>, client: Client, mux: Arc<Mux>) {
    let mut batch = Vec::new();
    loop {
        poll_fn(|cx| outbox.poll_filled(cx)).await;
        behind_all_others().await;
        outbox.take(&mut batch);
        for outgoing in batch.drain(..) {
            let reply = outgoing.reply.clone();
            if let Err(error) = publish(&client, outgoing).await
                && let Some(reply) = reply
            {
                mux.fail(&reply, not_sent(error));
            }
        }
    }
}

/// Returns when everybody who could run now has been polled. `yield_now` would wait until there is
/// nobody left, and look for input first.
async fn behind_all_others() {
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

fn not_sent(error: PublishError) -> Status {
    match error {
        PublishError::TooLarge { max } => Status::from_runtime(
            Code::ResourceExhausted,
            Reason::TooLarge,
            format!("the request does not fit into one NATS message of {max} bytes any more"),
        ),
        PublishError::Failed(error) => Status::from_runtime(
            Code::Unavailable,
            Reason::Disconnected,
            "the request could not be sent",
        )
        .with_source(error),
    }
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
        Outgoing {
            subject: Subject::from("a.B.C"),
            reply: None,
            headers: None,
            payload: Bytes::from(vec![0; length]),
        }
    }

    #[test]
    fn a_burst_wakes_the_sender_once_and_is_taken_at_once() {
        let outbox = Outbox::default();
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = &mut Context::from_waker(&waker);
        assert!(outbox.poll_filled(cx).is_pending());
        for length in 0..10 {
            assert!(outbox.put(outgoing(length), 1 << 20).is_none());
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(outbox.poll_filled(cx).is_ready());
        let mut batch = Vec::new();
        outbox.take(&mut batch);
        assert_eq!(batch.len(), 10);
        assert!(outbox.poll_filled(cx).is_pending());
    }

    #[test]
    fn what_is_long_or_finds_no_room_comes_back_whole() {
        let outbox = Outbox::default();
        let returned = |length, max| match outbox.put(outgoing(length), max) {
            Some(outgoing) => outgoing.payload.len(),
            None => panic!("{length} bytes were taken"),
        };
        assert_eq!(returned(LONGEST, 1 << 20), LONGEST);
        assert_eq!(returned(100, 100), 100);
        for _ in 0..MOST {
            assert!(outbox.put(outgoing(50), 100).is_none());
        }
        assert_eq!(returned(7, 100), 7);
    }
}
