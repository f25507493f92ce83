//! Tests of the reply slots, one for each rule, and a model: in any order of steps, a reply reaches its own call
//! or none.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Wake;

use proptest::prelude::*;

use super::*;

struct Ignore;

impl Wake for Ignore {
    fn wake(self: Arc<Self>) {}
}

fn waker() -> Waker {
    Waker::from(Arc::new(Ignore))
}

fn key_of(subject: &Subject) -> SlotKey {
    SlotKey::parse(subject.rsplit('.').next().unwrap()).unwrap()
}

#[test]
fn a_subject_is_used_again_only_after_its_one_reply() {
    let mut table = SlotTable::<_, ()>::new("_INBOX.x");
    let (key, first) = table.reserve(false);
    assert_eq!(first.as_str(), "_INBOX.x.0-0");
    assert!(matches!(
        table.deliver(key, 1),
        DeliveryOutcome::Woken(None)
    ));
    assert_eq!(table.poll(key, &waker(), |_| false), Poll::Ready(1));
    // The slot is used again, with the same subject, once enough others are free too.
    let mut seen = Vec::new();
    for _ in 0..=2 * MIN_FREE_BEFORE_REUSE {
        let (key, subject) = table.reserve(false);
        seen.push(subject.to_string());
        table.deliver(key, 1);
        let _ = table.poll(key, &waker(), |_| false);
    }
    assert!(!seen[..MIN_FREE_BEFORE_REUSE].contains(&first.to_string()));
    assert!(seen.contains(&first.to_string()));
    assert_eq!(table.slots.len(), MIN_FREE_BEFORE_REUSE + 1);
}

#[test]
fn a_slot_is_taken_until_its_call_has_ended() {
    let mut table = SlotTable::<_, ()>::new("i");
    let (first, _) = table.reserve(false);
    let (second, _) = table.reserve(true);
    assert_eq!(table.in_use(), 2);
    assert!(table.is_waiting(first) && table.is_waiting(second));
    table.deliver(first, 1);
    assert!(!table.is_waiting(first));
    let _ = table.poll(first, &waker(), |_| false);
    assert_eq!(table.in_use(), 1);
    table.close(second);
    assert_eq!(table.in_use(), 0);
    assert!(!table.is_waiting(second));
    let (third, _) = table.reserve_for_stream(());
    assert!(!table.is_waiting(third));
    assert_eq!(table.in_use(), 1);
}

#[test]
fn a_message_after_a_close_is_late() {
    let mut table = SlotTable::<_, ()>::new("i");
    let (key, subject) = table.reserve(false);
    table.close(key);
    assert!(matches!(
        table.deliver(key_of(&subject), 1),
        DeliveryOutcome::Late
    ));
}

#[test]
fn a_second_reply_changes_the_subject() {
    let mut table = SlotTable::<_, ()>::new("i");
    let (key, _) = table.reserve(false);
    table.deliver(key, 1);
    assert!(matches!(table.deliver(key, 2), DeliveryOutcome::Late));
    assert_eq!(table.poll(key, &waker(), |_| false), Poll::Ready(1));
    assert!(matches!(table.deliver(key, 3), DeliveryOutcome::Repeated));
    assert!(matches!(table.deliver(key, 4), DeliveryOutcome::Late));
}

#[test]
fn a_reply_that_continues_as_a_stream_keeps_its_slot() {
    let mut table = SlotTable::<_, char>::new("i");
    let (key, subject) = table.reserve(false);
    assert!(table.attach_stream(key, 's').is_none());
    table.deliver(key, 1);
    assert_eq!(table.poll(key, &waker(), |_| true), Poll::Ready(1));
    assert!(matches!(table.deliver(key, 2), DeliveryOutcome::Late));
    assert_eq!(table.attach_stream(key, 's'), Some(subject.clone()));
    for frame in 3..6 {
        assert!(
            matches!(table.deliver(key, frame), DeliveryOutcome::Stream('s', found) if found == frame)
        );
    }
    assert_eq!(table.fail_all(|| 9).1, ['s']);
    table.close(key);
    assert!(matches!(table.deliver(key, 6), DeliveryOutcome::Late));
    assert_ne!(table.reserve_for_stream('t').1, subject);
}

#[test]
fn a_unique_subject_is_never_used_again() {
    let mut table = SlotTable::<_, ()>::new("i");
    let mut seen = std::collections::HashSet::new();
    for number in 0..1000 {
        // Ordinary calls of the same connection in between: their subjects are used again.
        let (key, subject) = table.reserve(false);
        seen.insert(subject.to_string());
        table.deliver(key, number);
        assert_eq!(table.poll(key, &waker(), |_| false), Poll::Ready(number));
        let (key, subject) = table.reserve(true);
        assert!(seen.insert(subject.to_string()));
        table.deliver(key, 1);
        assert_eq!(table.poll(key, &waker(), |_| false), Poll::Ready(1));
        assert!(matches!(table.deliver(key, 2), DeliveryOutcome::Late));
    }
    assert!(table.slots.len() <= MIN_FREE_BEFORE_REUSE + 1);
}

#[test]
fn a_failed_wait_changes_the_subject() {
    let mut table = SlotTable::<_, ()>::new("i");
    let (key, subject) = table.reserve(false);
    assert!(table.poll(key, &waker(), |_| false).is_pending());
    assert_eq!(table.fail_all(|| 9).0.len(), 1);
    assert_eq!(table.poll(key, &waker(), |_| false), Poll::Ready(9));
    assert!(matches!(
        table.deliver(key_of(&subject), 1),
        DeliveryOutcome::Late
    ));
}

#[test]
fn a_burst_gives_up_its_subjects() {
    let mut table = SlotTable::<_, ()>::new("i");
    let keys = (0..10 * MAX_WARM_SLOTS)
        .map(|_| table.reserve(false).0)
        .collect::<Vec<_>>();
    for key in keys {
        table.deliver(key, 1);
        let _ = table.poll(key, &waker(), |_| false);
    }
    let kept = table.slots.iter().filter(|slot| slot.subject.is_some());
    assert_eq!(kept.count(), MAX_WARM_SLOTS);
    assert_eq!(table.free.len(), MAX_WARM_SLOTS);
}

#[test]
fn tokens_that_are_no_keys_are_rejected() {
    for token in ["", "-", "0", "0-", "x-0", "0-0-0", "100000000-0", "-0"] {
        assert_eq!(SlotKey::parse(token), None, "{token}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(bool),
    Deliver(usize),
    DeliverOld(usize),
    Poll(usize),
    Close(usize),
    FailAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(Step::Open),
        3 => any::<usize>().prop_map(Step::Deliver),
        2 => any::<usize>().prop_map(Step::DeliverOld),
        3 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::Close),
        1 => Just(Step::FailAll),
    ];
    proptest::collection::vec(step, 0..400)
}

const FAILED: u64 = u64::MAX;

proptest! {
    /// Each call is numbered; a reply carries the number of the call that its subject was made for. A call
    /// must never get another number than its own, unless a responder replied twice, which `DeliverOld` does
    /// only with subjects that are not in use again.
    #[test]
    fn a_reply_reaches_its_own_call_or_none(steps in steps()) {
        let mut table = SlotTable::<_, ()>::new("i");
        let mut open: Vec<(SlotKey, Subject, u64)> = Vec::new();
        let mut old: Vec<Subject> = Vec::new();
        let mut delivered: HashMap<u64, u64> = HashMap::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Open(is_unique) => {
                    let (key, subject) = table.reserve(is_unique);
                    prop_assert!(open.iter().all(|(_, other, _)| *other != subject));
                    open.push((key, subject, next));
                    next += 1;
                }
                Step::Deliver(at) if !open.is_empty() => {
                    let (_, subject, call) = &open[at % open.len()];
                    if let DeliveryOutcome::Woken(_) = table.deliver(key_of(subject), *call) {
                        prop_assert!(delivered.insert(*call, *call).is_none());
                    }
                }
                Step::DeliverOld(at) if !old.is_empty() => {
                    let subject = &old[at % old.len()];
                    if open.iter().all(|(_, used, _)| used != subject) {
                        let delivery = table.deliver(key_of(subject), FAILED - 1);
                        prop_assert!(!matches!(delivery, DeliveryOutcome::Woken(_)));
                    }
                }
                Step::Poll(at) if !open.is_empty() => {
                    let at = at % open.len();
                    let (key, _, call) = open[at].clone();
                    match (table.poll(key, &waker(), |_| false), delivered.get(&call)) {
                        (Poll::Ready(value), Some(expected)) => {
                            prop_assert_eq!(value, *expected);
                            old.push(open.swap_remove(at).1);
                        }
                        (Poll::Pending, None) => {}
                        (polled, expected) => {
                            prop_assert!(false, "{polled:?} where {expected:?} was expected");
                        }
                    }
                }
                Step::Close(at) if !open.is_empty() => {
                    let (key, subject, _) = open.swap_remove(at % open.len());
                    table.close(key);
                    old.push(subject);
                }
                Step::FailAll => {
                    table.fail_all(|| FAILED);
                    for (_, _, call) in &open {
                        delivered.entry(*call).or_insert(FAILED);
                    }
                }
                _ => {}
            }
        }
        prop_assert!(table.slots.len() <= next as usize);
    }
}
