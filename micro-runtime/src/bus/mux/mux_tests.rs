//! Unit tests of `mux.rs`.

use std::task::{Context as TaskContext, Poll};

use super::*;
use crate::status::Reason;

/// Counts how often it is failed.
#[derive(Default)]
struct CountingSink(AtomicU64);

impl FrameSink for CountingSink {
    fn deliver(&self, _: Message) -> bool {
        true
    }

    fn fail(&self, _: &Status) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn refuse(&self, _: &Status, _: bool) {}
}

#[test]
fn what_begins_to_wait_on_a_closed_connection_ends_at_once() {
    let mux = Arc::new(Mux::new("_INBOX.a"));
    let destination = Subject::from_static("a.B.C");
    let before = mux.reserve(&destination).unwrap();
    mux.close(&Reason::Disconnected.status("closed"));
    let slots = [
        before,
        mux.reserve(&destination).unwrap(),
        mux.reserve_own().unwrap(),
    ];
    for (mut slot, _) in slots {
        let polled = slot.poll(&mut TaskContext::from_waker(std::task::Waker::noop()));
        let Poll::Ready(Err(status)) = polled else {
            panic!("{polled:?}");
        };
        assert_eq!(status.reason(), Some(Reason::Disconnected));
    }
    let sink = Arc::new(CountingSink::default());
    let stream = mux.reserve_for_stream(Arc::clone(&sink) as _, &destination);
    assert!(stream.is_ok());
    assert_eq!(sink.0.load(Ordering::Relaxed), 1);
}
