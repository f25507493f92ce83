//! Unit tests of `outbox.rs`.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
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
    assert!(outbox.poll_nonempty(cx, || true).is_pending());
    for length in 0..10 {
        assert!(outbox.enqueue(outgoing(length), 1 << 20).is_none());
    }
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(outbox.poll_nonempty(cx, || true).is_ready());
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

/// The requests are those of others.
#[test]
fn a_flush_waits_for_what_is_queued_and_takes_nothing_along_when_it_is_given_up() {
    let outbox = Outbox::default();
    let cx = &mut Context::from_waker(Waker::noop());
    let mut flush = pin!(outbox.flush());
    assert!(flush.as_mut().poll(cx).is_pending());
    assert!(outbox.poll_nonempty(cx, || true).is_pending());
    assert!(flush.as_mut().poll(cx).is_ready(), "nothing was queued");
    for length in 0..3 {
        assert!(outbox.enqueue(outgoing(length), 100).is_none());
    }
    let mut flush = Box::pin(outbox.flush());
    let mut given_up = Box::pin(outbox.flush());
    assert!(flush.as_mut().poll(cx).is_pending() && given_up.as_mut().poll(cx).is_pending());
    drop(given_up);
    assert!(outbox.poll_nonempty(cx, || true).is_ready());
    let batch = std::mem::take(&mut lock(&outbox.state).queued);
    assert_eq!(batch.len(), 3);
    assert!(outbox.enqueue(outgoing(3), 100).is_none());
    assert!(flush.as_mut().poll(cx).is_pending(), "not handed over yet");
    assert!(outbox.poll_nonempty(cx, || true).is_ready());
    assert!(
        flush.as_mut().poll(cx).is_ready(),
        "the last one came later"
    );
}

#[test]
fn a_batch_has_no_more_bytes_than_there_is_room_for() {
    let outbox = Outbox::default();
    for length in [100, 200, 300, 400] {
        assert!(outbox.enqueue(outgoing(length), 1 << 20).is_none());
    }
    let take = |max| {
        let mut batch = Vec::new();
        outbox.take(&mut batch, max);
        let lengths = batch.iter().map(|request| request.payload.len());
        lengths.collect::<Vec<_>>()
    };
    assert_eq!(take(0), [100], "at least one");
    assert_eq!(take(500), [200, 300]);
    assert_eq!(take(1 << 20), [400]);
}

#[test]
fn the_end_of_the_sending_task_fails_what_is_queued_and_closes_the_outbox() {
    let outbox = Outbox::default();
    let mux = Arc::new(Mux::new("_INBOX.x"));
    let (mut slot, reply) = mux.reserve_own().unwrap();
    let request = Outgoing {
        reply: Some(reply),
        ..outgoing(7)
    };
    assert!(outbox.enqueue(request, 100).is_none());
    let cx = &mut Context::from_waker(Waker::noop());
    let mut flush = pin!(outbox.flush());
    assert!(flush.as_mut().poll(cx).is_pending());
    outbox.close(&mux);
    assert!(flush.as_mut().poll(cx).is_ready());
    assert!(pin!(outbox.flush()).poll(cx).is_ready());
    let Poll::Ready(Err(status)) = slot.poll(cx) else {
        panic!("the call waits on");
    };
    assert_eq!(status.reason(), Some(Reason::Disconnected));
    assert!(outbox.enqueue(outgoing(7), 100).is_some());
}

#[test]
fn requests_of_callers_that_have_gone_are_removed() {
    let mux = Arc::new(Mux::new("_INBOX.x"));
    let (stays, first) = mux.reserve_own().unwrap();
    let (goes, second) = mux.reserve_own().unwrap();
    let (fails, third) = mux.reserve_own().unwrap();
    drop(goes);
    mux.fail(&third, connection_closed());
    let request = |reply: &Subject| Outgoing {
        reply: Some(reply.clone()),
        ..outgoing(7)
    };
    let elsewhere = Subject::from("elsewhere");
    let mut requests = [&first, &second, &third, &elsewhere].map(request).to_vec();
    mux.retain_waiting(&mut requests);
    let replies = requests.into_iter().map(|request| request.reply.unwrap());
    assert_eq!(replies.collect::<Vec<_>>(), [first, elsewhere]);
    drop((stays, fails));
}
