//! Tests of refused requests: each refusal ends the request that NATS has refused, and no other.

use async_nats::Message;
use bytes::Bytes;

use super::*;
use crate::bus::mux::FrameSink;
use crate::bus::outgoing::Outgoing;

/// Returns a queued request of a call, and its slot.
fn queued(refusals: &Refusals, subject: &'static str) -> (ReplySlot, Outgoing) {
    let destination = Subject::from_static(subject);
    let (slot, reply) = refusals.mux.reserve(&destination).unwrap();
    assert!(slot.should_batch(), "it would be published at once");
    let request = Outgoing {
        reply: Some(reply),
        ..Outgoing::to(destination, Bytes::new())
    };
    (slot, request)
}

fn message(subject: Subject) -> Message {
    Message {
        subject,
        reply: None,
        payload: Bytes::new(),
        headers: None,
        status: None,
        description: None,
        length: 0,
    }
}

/// Returns whether each call has ended, and checks with which error.
fn have_ended<const N: usize>(slots: &mut [ReplySlot; N]) -> [bool; N] {
    slots.each_mut().map(|slot| match failure(slot) {
        Some(status) => {
            assert_eq!(status.reason(), Some(Reason::NotPermitted), "{status}");
            assert!(
                status.message().contains("publish to `a.B.One`"),
                "{status}"
            );
            true
        }
        None => false,
    })
}

/// Receiver of a stream that outlives its refusals, as one whose task is not polled does.
#[derive(Default)]
struct RefusedOpenings(AtomicUsize);

impl FrameSink for RefusedOpenings {
    fn deliver(&self, _: Message) -> bool {
        true
    }

    fn fail(&self, _: &Status) {}

    fn refuse(&self, _: &Status, is_opening: bool) {
        assert!(is_opening);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Opens a stream; returns its slot, its reply subject and the number of its refusals.
fn open(refusals: &Refusals, subject: &'static str) -> (ReplySlot, Subject, Arc<RefusedOpenings>) {
    let sink = Arc::new(RefusedOpenings::default());
    let destination = Subject::from_static(subject);
    let reserved = refusals
        .mux
        .reserve_for_stream(Arc::clone(&sink) as _, &destination);
    let (mut slot, reply) = reserved.unwrap();
    poll_publish(&mut slot, Poll::Ready(Ok(())));
    (slot, reply, sink)
}

/// NATS has taken those that it does not refuse: their handlers run.
#[test]
fn each_refusal_ends_the_last_request_to_its_subject_and_remembers_it() {
    let refusals = refusals();
    let mut calls = [(); 4].map(|()| reserve(&refusals, "a.B.One").unwrap());
    let mut other = reserve(&refusals, "a.B.Other").unwrap();
    refusals.apply(&[publish("a.B.One"), publish("a.B"), publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [false, false, true, true]);
    assert!(failure(&mut other).is_none());
    let next = reserve(&refusals, "a.B.One").err().unwrap();
    assert_eq!(next.code(), Code::PermissionDenied);
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [false, true, false, false]);
    refusals.apply(&[publish("a.B.One"), publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [true, false, false, false]);
    assert_eq!(refusals.refused_events(), 1, "`a.B` alone is an event");
    refusals.begin_link();
    reserve(&refusals, "a.B.One").unwrap();
}

#[test]
fn a_refused_request_whose_caller_has_gone_ends_no_other() {
    let refusals = refusals();
    let mut taken = [(); 2].map(|()| reserve(&refusals, "a.B.One").unwrap());
    let mut refused = [reserve(&refusals, "a.B.One").unwrap()];
    drop([(); 2].map(|()| reserve(&refusals, "a.B.One").unwrap()));
    let mut last = [reserve(&refusals, "a.B.One").unwrap()];
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut last), [true]);
    refusals.apply(&[publish("a.B.One"), publish("a.B.One")]);
    assert_eq!(have_ended(&mut refused), [false]);
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut refused), [true]);
    assert_eq!(have_ended(&mut taken), [false, false]);
}

/// The errors may come one by one, with any time between them.
#[test]
fn a_stream_whose_opening_is_refused_uses_up_one_refusal() {
    for is_dropped in [true, false] {
        let refusals = refusals();
        let mut call = [reserve(&refusals, "a.B.One").unwrap()];
        let (opening, _, refused) = open(&refusals, "a.B.One");
        refusals.apply(&[publish("a.B.One")]);
        assert_eq!(refused.0.load(Ordering::Relaxed), 1);
        let opening = (!is_dropped).then_some(opening);
        assert_eq!(have_ended(&mut call), [false]);
        refusals.apply(&[publish("a.B.One")]);
        assert_eq!(refused.0.load(Ordering::Relaxed), 1);
        assert_eq!(have_ended(&mut call), [true]);
        drop(opening);
        assert_eq!(refusals.refused_events(), 0);
    }
}

/// What arrives for a stream, or for a call of all instances, shows that NATS has taken its request.
#[test]
fn a_stream_that_was_replied_to_uses_up_no_refusal() {
    let refusals = refusals();
    let mut call = [reserve(&refusals, "a.B.One").unwrap()];
    let (_accepted, reply, of_accepted) = open(&refusals, "a.B.One");
    refusals.mux.deliver(message(reply));
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut call), [true]);
    assert_eq!(of_accepted.0.load(Ordering::Relaxed), 0);
}

#[test]
fn a_request_that_is_not_sent_yet_waits_for_its_own_refusal() {
    let refusals = refusals();
    let _others = [(); 3].map(|()| reserve(&refusals, "a.B.Other").unwrap());
    let sent = reserve(&refusals, "a.B.One").unwrap();
    let (queued, of_queued) = queued(&refusals, "a.B.One");
    let mut calls = [sent, queued];
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [true, false]);
    let mut batch = vec![of_queued];
    refusals.mux.retain_waiting(&mut batch);
    assert_eq!(batch.len(), 1);
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [false, true]);
}

/// The carrier does not take it, or its caller goes while it is queued.
#[test]
fn a_request_that_was_never_sent_uses_up_no_refusal() {
    let refusals = refusals();
    let mut calls = [reserve(&refusals, "a.B.One").unwrap()];
    for outcome in [
        Poll::Ready(Err(PublishError::TooLarge { max: 1 })),
        Poll::Pending,
    ] {
        let destination = Subject::from_static("a.B.One");
        let (mut unsent, _) = refusals.mux.reserve(&destination).unwrap();
        assert!(!unsent.should_batch());
        poll_publish(&mut unsent, outcome);
    }
    let _others = [(); 3].map(|()| reserve(&refusals, "a.B.Other").unwrap());
    let (given_up, of_given_up) = queued(&refusals, "a.B.One");
    drop(given_up);
    let mut batch = vec![of_given_up];
    refusals.mux.retain_waiting(&mut batch);
    assert_eq!(batch.len(), 0, "it is not sent");
    let mut large = [reserve(&refusals, "a.B.One").unwrap()];
    refusals.apply(&[publish("a.B.One"), publish("a.B.One")]);
    assert_eq!(have_ended(&mut large), [true]);
    assert_eq!(have_ended(&mut calls), [true]);
}

#[test]
fn a_request_has_its_place_from_the_poll_in_which_the_carrier_takes_it() {
    let refusals = refusals();
    let subject = Subject::from_static("a.B.One");
    let mut calls = [(); 2].map(|()| refusals.mux.reserve(&subject).unwrap().0);
    poll_publish(&mut calls[0], Poll::Pending);
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [false, true]);
    refusals.begin_link();
    let mut later = [reserve(&refusals, "a.B.One").unwrap()];
    poll_publish(&mut calls[0], Poll::Ready(Ok(())));
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [true, false], "it was the last one");
    refusals.apply(&[publish("a.B.One")]);
    assert_eq!(have_ended(&mut later), [true]);
}

/// Which refusals were lost cannot be known.
#[test]
fn while_nats_is_asked_about_a_subject_one_refusal_ends_all_requests_to_it() {
    let refusals = refusals();
    let mut calls = [(); 3].map(|()| reserve(&refusals, "a.B.One").unwrap());
    let mut other = [(); 2].map(|()| reserve(&refusals, "a.B.Two").unwrap());
    let probed = ["a.B.One".to_owned()];
    let probed = refusals.mux.probe_subjects(probed.into());
    refusals.apply(&[publish("a.B.Two"), publish("a.B.One")]);
    assert_eq!(have_ended(&mut calls), [true; 3]);
    drop(probed);
    assert!(failure(&mut other[0]).is_none());
    assert!(failure(&mut other[1]).is_some());
}
