//! Tests of passing refusals on, on the carrier inside one process: which call, observer or count each reaches.

use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};

use async_nats::Subject;

use super::*;
use crate::bus::Bus;
use crate::bus::mux::ReplySlot;
use crate::bus::outgoing::PublishError;
use crate::bus::subscription_proof::unless_refused;
use crate::status::{Code, Reason, Status};
use crate::wire::subject::reply_pattern;

#[path = "refused_requests_tests.rs"]
mod refused_requests;

fn publish(subject: &str) -> Refusal {
    Refusal::Publish(subject.to_owned())
}

fn subscription(subject: &str) -> Refusal {
    Refusal::Subscription {
        subject: subject.to_owned(),
        queue: None,
    }
}

fn refusals() -> Arc<Refusals> {
    Arc::clone(Bus::in_process().calling().refusals())
}

/// Reserves a slot for a request, and sends it.
fn reserve(refusals: &Refusals, subject: &'static str) -> Result<ReplySlot, Status> {
    let (mut slot, _) = refusals.mux.reserve(&Subject::from_static(subject))?;
    poll_publish(&mut slot, Poll::Ready(Ok(())));
    Ok(slot)
}

/// Publishes a request to a carrier that does this with it.
fn poll_publish(slot: &mut ReplySlot, outcome: Poll<Result<(), PublishError>>) {
    let mut outcome = Some(outcome);
    let publish = std::future::poll_fn(|_| outcome.take().unwrap_or(Poll::Pending));
    let _ = slot.poll_publish(pin!(publish), &mut Context::from_waker(Waker::noop()));
}

/// Returns the error that a call has ended with; `None` while it waits.
fn failure(slot: &mut ReplySlot) -> Option<Status> {
    match slot.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(status)) => Some(status),
        _ => None,
    }
}

/// The task that subscribes to it again may look for the refusal between an observer and the reply slots.
#[test]
fn a_refusal_of_the_inbox_is_found_whenever_it_is_waited_for() {
    let refusals = refusals();
    let mux = Arc::clone(&refusals.mux);
    let is_refused = || {
        let waiting = pin!(mux.inbox_refused());
        let cx = &mut Context::from_waker(Waker::noop());
        Future::poll(waiting, cx).is_ready()
    };
    let waiter = Arc::new(Mutex::new(None));
    let (of_observer, of_mux) = (Arc::clone(&waiter), Arc::clone(&mux));
    let observer = refusals.observe(move |_| {
        let mux = Arc::clone(&of_mux);
        let mut waiting = Box::pin(async move { mux.inbox_refused().await });
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
        *lock(&of_observer) = Some(waiting);
        Concern::None
    });
    assert!(!is_refused());
    let inbox = reply_pattern(mux.inbox());
    refusals.apply(&[subscription(&inbox)]);
    drop(observer);
    let mut waiting = lock(&waiter).take().unwrap();
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(cx).is_ready(), "it began in between");
    assert!(is_refused());
    let before = mux.inbox_refusals();
    refusals.apply(&[subscription(&inbox)]);
    assert!(!mux.allow_inbox(before), "it was refused once more");
    assert!(mux.allow_inbox(before + 1) && !is_refused());
}

#[test]
fn a_refused_inbox_ends_everything_that_waits_until_a_reconnect() {
    let refusals = refusals();
    let mut call = reserve(&refusals, "a.B.One").unwrap();
    let inbox = refusals.mux.inbox().clone();
    refusals.apply(&[subscription(&format!("{inbox}.x.*")), subscription("x.*")]);
    assert!(failure(&mut call).is_none(), "not its own inbox");
    refusals.apply(&[subscription(&reply_pattern(&inbox))]);
    let status = failure(&mut call).unwrap();
    assert!(status.message().contains("inbox_prefix"), "{status}");
    assert!(reserve(&refusals, "a.B.One").is_err());
    assert!(refusals.mux.reserve_own().is_err());
    refusals.begin_link();
    reserve(&refusals, "a.B.One").unwrap();
}

#[test]
fn a_reserved_reply_subject_ends_its_own_call() {
    let refusals = refusals();
    let subject = Subject::from_static("a.B.One");
    let (mut one, reply) = refusals.mux.reserve(&subject).unwrap();
    let (mut other, _) = refusals.mux.reserve(&subject).unwrap();
    refusals.apply(&[Refusal::ReplySubject(reply.to_string())]);
    assert!(failure(&mut one).is_some());
    assert!(failure(&mut other).is_none());
}

#[test]
fn a_publish_that_concerns_nothing_else_is_a_reply_or_an_event() {
    let refusals = refusals();
    let replies = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&replies);
    let observer = refusals.observe_replies(move |refusal| match refusal {
        Refusal::Publish(subject) if subject.starts_with("_INBOX.") => {
            counted.fetch_add(1, Ordering::Relaxed);
            Concern::Reply
        }
        _ => Concern::None,
    });
    let _own = refusals.watch(|refusal| refusal.is_of_publish("_INBOX.own"));
    let _call = reserve(&refusals, "_INBOX.call").unwrap();
    refusals.apply(&[
        publish("_INBOX.own"),
        publish("_INBOX.call"),
        publish("_INBOX.reply"),
        publish("evt.a"),
        subscription("_INBOX.reply"),
    ]);
    assert_eq!(replies.load(Ordering::Relaxed), 1);
    assert_eq!(refusals.refused_events(), 1);
    drop(observer);
    refusals.apply(&[publish("_INBOX.reply")]);
    assert_eq!(replies.load(Ordering::Relaxed), 1);
    assert_eq!(refusals.refused_events(), 2);
}

#[test]
fn the_refusal_of_a_call_that_was_given_up_is_no_event() {
    let refusals = refusals();
    let mut replied = reserve(&refusals, "a.B.Replied").unwrap();
    refusals.mux.fail_all(&Reason::Disconnected.status("lost"));
    assert!(failure(&mut replied).is_some());
    drop(replied);
    drop(reserve(&refusals, "a.B.GivenUp").unwrap());
    refusals.apply(&[publish("a.B.GivenUp")]);
    assert_eq!(refusals.refused_events(), 0);
    // Those that come besides are of events to the same subject.
    refusals.apply(&[publish("a.B.GivenUp"), publish("a.B.Replied")]);
    assert_eq!(refusals.refused_events(), 2);
}

#[test]
fn the_error_of_a_marker_that_comes_late_is_no_event() {
    let refusals = refusals();
    let _replies = refusals.observe_replies(|_| panic!("no reply"));
    let inbox = refusals.mux.inbox().clone();
    let reply = refused_subject::reply(&inbox, "x");
    let target = refused_subject::target(&inbox, "x");
    refusals.apply(&[Refusal::ReplySubject(reply.to_string()), publish(&target)]);
    assert_eq!(refusals.refused_events(), 0);
    assert!(!refused_subject::is_marker(&inbox, &format!("{inbox}.x")));
    assert!(!refused_subject::is_marker(&inbox, "_R_.x"));
}

#[tokio::test]
async fn a_watch_keeps_the_first_refusal_that_concerns_it() {
    let refusals = refusals();
    let watch = refusals.watch(|refusal| matches!(refusal, Refusal::Subscription { .. }));
    refusals.apply(&[publish("a"), subscription("b"), subscription("c")]);
    refusals.apply(&[subscription("d")]);
    assert_eq!(watch.refused().await, subscription("b"));
    assert_eq!(watch.refused().await, subscription("b"));
    let later = refusals.watch(|_| true);
    let late = tokio::time::timeout(Duration::ZERO, later.refused()).await;
    assert!(late.is_err());
}

#[tokio::test]
async fn a_proof_inside_one_process_finds_what_is_refused_meanwhile() {
    let bus = Bus::in_process();
    let connection = bus.calling();
    connection.prove_subscriptions(0, &[]).await.unwrap();
    let refused = connection
        .refusals()
        .watch(|refusal| refusal.is_of_subscription("a.b", None));
    connection.refusals().apply(&[subscription("a.b")]);
    let proof = unless_refused(&refused, connection.prove_subscriptions(0, &[]));
    assert_eq!(proof.await.unwrap_err(), subscription("a.b"));
    let inbox = reply_pattern(connection.mux().inbox());
    connection.refusals().apply(&[subscription(&inbox)]);
    let error = connection.prove_subscriptions(0, &[]).await.unwrap_err();
    assert!(error.to_string().contains("NATS_INBOX_PREFIX"), "{error}");
}

/// A refusal that is passed on after it was looked for, in the same poll as the end of the proof.
#[tokio::test]
async fn a_refusal_at_the_very_end_of_a_proof_is_its_error() {
    let refusals = refusals();
    let refused = refusals.watch(|refusal| refusal.is_of_subscription("a.b", None));
    let proof = async { refusals.apply(&[subscription("a.b")]) };
    let proved = unless_refused(&refused, proof).await;
    assert_eq!(proved, Err(subscription("a.b")));
}

/// As before nats-server 2.14, which states the group.
#[test]
fn a_revoked_subscription_of_an_unknown_group_is_asked_about_where_there_are_groups() {
    let refusals = refusals();
    let losses = refusals.suspected_losses();
    let asked = || *losses.borrow();
    let all = refusals.subscriptions();
    let plain = all.add(Subject::from_static("evt.a"), None);
    plain.end_when_refused();
    let group = all.add(Subject::from_static("evt.a"), Some("g"));
    group.end_when_refused();
    let refused = refusals.watch(|refusal| refusal.is_of_subscription("evt.a", None));
    let revoked = Refusal::Revoked("evt.a".to_owned());
    refusals.apply(&[revoked.clone(), Refusal::Other("x".to_owned())]);
    assert_eq!(asked(), 1);
    assert!(refused.now().is_none() && !plain.has_signal() && !group.has_signal());
    drop(group);
    refusals.apply(&[revoked]);
    assert_eq!(asked(), 1);
    assert!(refused.now().is_some() && plain.has_signal());
}
