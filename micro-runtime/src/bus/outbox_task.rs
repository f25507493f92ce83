//! The sending task of an outbox: hands the requests that are queued to async-nats, and cancellations behind them.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use async_nats::Subject;
use futures_util::future::{join, join_all};
use tokio::task::coop::unconstrained;

use crate::bus::cancel_messages::send_cancellations;
use crate::bus::link::{CurrentLink, Link};
use crate::bus::mux::Mux;
use crate::bus::outbox::{Outbox, connection_closed};
use crate::bus::outgoing::{Outgoing, PublishError};

/// Closes the outbox when the sending task ends, with its connection or its runtime.
struct CloseOnDrop<'a>(&'a Outbox, &'a Mux);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        let Self(outbox, mux) = self;
        outbox.close(mux);
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
/// Usually its queue has room and each request is handed over at once. Where the queue is full, the rest
/// is polled concurrently, so that all of them line up for its room at once: callers that find the outbox full
/// line up there too, and would otherwise overtake requests that came before theirs.
async fn send_all(batch: &mut Vec<Outgoing>, link: &Link, mux: &Mux) {
    mux.retain_waiting(batch);
    let mut rest = Rest {
        requests: batch.drain(..),
        mux,
    };
    while let Some(outgoing) = rest.requests.next() {
        // A future for each request would move it three times.
        if let Poll::Ready(published) = link.try_publish_whole(&outgoing) {
            fail_unsent(published, outgoing.reply, mux);
            continue;
        }
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

/// Publishes one request. One that had to wait, and whose caller has gone meanwhile, is not sent.
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
    fail_unsent(published, call.reply.take(), mux);
}

/// Ends the wait for a reply if the request could not be sent.
fn fail_unsent(published: Result<(), PublishError>, reply: Option<Subject>, mux: &Mux) {
    if let (Err(error), Some(reply)) = (published, reply) {
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

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::bus::mux::ReplySlot;

    #[test]
    fn requests_that_were_taken_fail_with_the_sending_task() {
        let mux = Arc::new(Mux::new("_INBOX.x"));
        let (mut slots, requests): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| mux.reserve_own().unwrap())
            .map(|(slot, reply)| {
                let reply = Some(reply);
                (
                    slot,
                    Outgoing {
                        reply,
                        ..Outgoing::to(Subject::from("a.B.C"), Bytes::new())
                    },
                )
            })
            .unzip();
        let mut batch = requests;
        let mut rest = Rest {
            requests: batch.drain(..),
            mux: &mux,
        };
        let first = rest.requests.next().unwrap();
        let first = FailOnDrop {
            reply: first.reply,
            mux: &mux,
        };
        drop((first, rest));
        let cx = &mut Context::from_waker(Waker::noop());
        let is_failed = |slot: &mut ReplySlot| matches!(slot.poll(cx), Poll::Ready(Err(_)));
        assert_eq!(
            slots.iter_mut().map(is_failed).collect::<Vec<_>>(),
            [true; 3]
        );
    }
}
