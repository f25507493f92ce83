//! Tests of the reply slots, one for each rule, and a model: in any order of steps, with replies that are repeated,
//! late and forged, a reply reaches its own call or none.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use rand::SeedableRng as _;

use super::*;

fn table<S: Clone>() -> SlotTable<u64, S> {
    SlotTable::new("_INBOX.x", ChaCha8Rng::seed_from_u64(1))
}

fn destination() -> Subject {
    Subject::from_static("a.B.C")
}

fn key_of(subject: &Subject) -> SlotKey {
    SlotKey::parse(subject.rsplit('.').next().unwrap()).unwrap()
}

fn is_unmatched<S: Clone>(table: &mut SlotTable<u64, S>, key: SlotKey) -> bool {
    matches!(table.deliver(key, 0), DeliveryOutcome::Unmatched)
}

/// Closes a slot; returns where its request went, and its place.
fn abandoned<S: Clone>(
    table: &mut SlotTable<u64, S>,
    key: SlotKey,
) -> Option<(Subject, NonZeroU64)> {
    let closed = table.close(key)?;
    closed.abandoned().map(|(to, order)| (to.clone(), order))
}

#[test]
fn a_subject_is_never_used_again() {
    let mut table = table::<()>();
    let mut seen = HashSet::new();
    for number in 0..10_000 {
        let (key, subject) = table.reserve(destination());
        assert_eq!(key_of(&subject), key);
        assert!(seen.insert(subject.to_string()));
        assert!(matches!(
            table.deliver(key, number),
            DeliveryOutcome::Woken(None)
        ));
        assert_eq!(
            table.poll(key, Waker::noop(), |_| false),
            Poll::Ready(number)
        );
        assert!(is_unmatched(&mut table, key), "a second reply");
    }
    assert_eq!(table.slots.len(), 1, "one call at a time needs one slot");
}

#[test]
fn subjects_of_two_tables_share_nothing_but_the_slot() {
    let nonce = || {
        let mut table = SlotTable::<u64, ()>::new("i", rand::make_rng());
        table.reserve(destination()).0.nonce
    };
    let nonces = (0..1000).map(|_| nonce()).collect::<HashSet<_>>();
    assert_eq!(nonces.len(), 1000);
    // Each bit is set in about a half: the odds of a bit outside of these bounds are below 10⁻⁹.
    for bit in 0..u64::BITS {
        let set = nonces.iter().filter(|nonce| *nonce >> bit & 1 == 1).count();
        assert!(
            (400..600).contains(&set),
            "bit {bit} is set in {set} of 1,000"
        );
    }
}

#[test]
fn a_forged_nonce_reaches_no_call() {
    let mut table = table::<()>();
    let (key, _) = table.reserve(destination());
    for bit in 0..u64::BITS {
        let nonce = key.nonce ^ (1 << bit);
        assert!(is_unmatched(&mut table, SlotKey { nonce, ..key }));
    }
    for nonce in [0, 1, u64::MAX, !key.nonce] {
        assert!(is_unmatched(&mut table, SlotKey { nonce, ..key }));
    }
    for slot in [1, 1000, u32::MAX] {
        assert!(is_unmatched(&mut table, SlotKey { slot, ..key }));
    }
    assert!(table.mark_sent(key));
}

#[test]
fn a_slot_is_taken_until_its_call_has_ended() {
    let mut table = table::<()>();
    let (first, _) = table.reserve(destination());
    let (second, _) = table.reserve(destination());
    assert_eq!(table.in_use(), 2);
    assert!(table.mark_sent(first) && table.mark_sent(second));
    table.deliver(first, 1);
    assert!(!table.mark_sent(first));
    let _ = table.poll(first, Waker::noop(), |_| false);
    assert_eq!(table.in_use(), 1);
    drop(table.close(second));
    drop(table.close(second));
    assert_eq!(table.in_use(), 0);
    assert!(!table.mark_sent(second));
    let (third, _) = table.reserve_for_stream((), destination());
    assert!(!table.mark_sent(third));
    assert_eq!(table.in_use(), 1);
    drop(table.close(second));
    assert_eq!(
        table.in_use(),
        1,
        "the key of an earlier use closes nothing"
    );
}

#[test]
fn a_reply_after_the_end_of_its_call_matches_nothing() {
    let mut table = table::<()>();
    let (key, subject) = table.reserve(destination());
    drop(table.close(key));
    assert!(is_unmatched(&mut table, key_of(&subject)));
    let (_, next) = table.reserve(destination());
    assert_ne!(next, subject);
    assert!(
        is_unmatched(&mut table, key_of(&subject)),
        "the slot is used again"
    );
}

#[test]
fn a_second_reply_matches_nothing_whether_the_first_was_taken_or_not() {
    let mut table = table::<()>();
    let (key, _) = table.reserve(destination());
    table.deliver(key, 1);
    assert!(is_unmatched(&mut table, key));
    assert_eq!(table.poll(key, Waker::noop(), |_| false), Poll::Ready(1));
    assert!(is_unmatched(&mut table, key));
    assert!(table.poll(key, Waker::noop(), |_| false).is_pending());
}

#[test]
fn a_reply_that_continues_as_a_stream_keeps_its_slot() {
    let mut table = table::<char>();
    let (key, subject) = table.reserve(destination());
    assert!(table.attach_stream(key, 's').is_none());
    table.deliver(key, 1);
    assert_eq!(table.poll(key, Waker::noop(), |_| true), Poll::Ready(1));
    assert!(is_unmatched(&mut table, key));
    assert_eq!(table.attach_stream(key, 's'), Some(subject.clone()));
    for frame in 3..6 {
        assert!(
            matches!(table.deliver(key, frame), DeliveryOutcome::Stream('s', found) if found == frame)
        );
    }
    assert_eq!(table.fail_all(|| 9).1, ['s']);
    drop(table.close(key));
    assert!(is_unmatched(&mut table, key));
    assert_ne!(table.reserve_for_stream('t', destination()).1, subject);
}

#[test]
fn a_failed_wait_takes_no_reply_any_more() {
    let mut table = table::<()>();
    let (key, subject) = table.reserve(destination());
    assert!(table.poll(key, Waker::noop(), |_| false).is_pending());
    assert_eq!(table.fail_all(|| 9).0.len(), 1);
    assert!(is_unmatched(&mut table, key_of(&subject)));
    assert_eq!(table.poll(key, Waker::noop(), |_| false), Poll::Ready(9));
    assert!(is_unmatched(&mut table, key_of(&subject)));
}

#[test]
fn requests_that_wait_are_listed_in_their_order() {
    let mut table = table::<char>();
    let (first, _) = table.reserve(Subject::from_static("a.One"));
    let (replied, _) = table.reserve(Subject::from_static("a.One"));
    let (opening, _) = table.reserve_for_stream('s', Subject::from_static("a.Open"));
    let (own, own_subject) = table.reserve_own();
    table.deliver(replied, 1);
    drop(table.close(first));
    // It takes the slot of the first one, and is the last one all the same.
    let (last, _) = table.reserve(Subject::from_static("a.One"));
    assert!(table.requests().all(|request| request.order.is_none()));
    table.mark_sent(opening);
    table.mark_sent(own);
    table.mark_sent(last);
    assert!(table.poll(last, Waker::noop(), |_| false).is_pending());
    let mut requests = table.requests().collect::<Vec<_>>();
    requests.sort_unstable_by_key(|request| request.order);
    let keys = requests.iter().map(|request| request.key);
    assert_eq!(keys.collect::<Vec<_>>(), [opening, own, last]);
    let destinations = requests.iter().map(|request| request.destination.as_str());
    let expected = ["a.Open", own_subject.as_str(), "a.One"];
    assert_eq!(destinations.collect::<Vec<_>>(), expected);
    let order = requests[2].order.unwrap();
    assert!(table.mark_sent(own), "it is the last one now");
    let orders = |table: &SlotTable<u64, char>, wanted| {
        let mut all = table.requests().filter(|request| request.key == wanted);
        all.next().unwrap().order
    };
    assert!(orders(&table, own) > orders(&table, last));
    assert_eq!(abandoned(&mut table, replied), None, "NATS has taken it");
    let of_last = Some((Subject::from_static("a.One"), order));
    assert_eq!(abandoned(&mut table, last), of_last);
    table.mark_unsent(own);
    assert_eq!(abandoned(&mut table, own), None, "it was not sent");
}

#[test]
fn a_stream_is_listed_by_its_request_and_then_by_its_frames() {
    let mut table = table::<char>();
    let (key, _) = table.reserve_for_stream('s', Subject::from_static("a.Open"));
    assert_eq!(
        (table.requests().count(), table.open_streams().count()),
        (1, 0)
    );
    table.set_destination(key, Subject::from_static("a.Frames"));
    assert_eq!(table.requests().count(), 0);
    let open = table.open_streams().map(|(to, sink)| (to.as_str(), *sink));
    assert_eq!(open.collect::<Vec<_>>(), [("a.Frames", 's')]);
    assert_eq!(abandoned(&mut table, key), None);
    table.set_destination(key, Subject::from_static("a.Late"));
    assert_eq!(table.open_streams().count(), 0);
}

/// What has arrived shows that NATS has taken the request, or is its refusal.
#[test]
fn a_stream_whose_request_was_replied_to_or_has_failed_is_no_request() {
    let mut table = table::<char>();
    let open = |table: &mut SlotTable<u64, char>| {
        let (key, _) = table.reserve_for_stream('s', Subject::from_static("a.Open"));
        table.mark_sent(key);
        assert_eq!(table.requests().count(), 1);
        key
    };
    let replied = open(&mut table);
    table.deliver(replied, 1);
    assert_eq!(table.requests().count(), 0);
    assert_eq!(table.open_streams().count(), 0, "its frames go nowhere yet");
    table.set_destination(replied, Subject::from_static("a.Frames"));
    table.deliver(replied, 2);
    assert_eq!(table.open_streams().count(), 1);
    let failed = open(&mut table);
    assert_eq!(table.fail_all(|| 9).1, ['s', 's']);
    assert_eq!(table.requests().count(), 0);
    for key in [replied, failed] {
        assert_eq!(abandoned(&mut table, key), None);
    }
}

#[test]
fn subjects_share_buffers_and_those_of_streams_do_not() {
    let mut table = table::<()>();
    let subjects = (0..1000)
        .map(|_| table.reserve(destination()).1)
        .collect::<Vec<_>>();
    let length = subjects[0].len();
    let follows = |pair: &[Subject]| pair[0].as_ptr().wrapping_add(length) == pair[1].as_ptr();
    let shared = subjects.windows(2).filter(|pair| follows(pair)).count();
    let per_buffer = CHUNK_LEN / length;
    assert!(
        shared >= 1000 - 1000 / per_buffer - 2,
        "{shared} follow each other"
    );
    let (_, stream) = table.reserve_for_stream((), destination());
    let (_, next) = table.reserve(destination());
    assert!(!follows(&[stream, next]));
}

#[test]
fn tokens_that_are_no_keys_are_rejected() {
    let good = table::<()>().reserve(destination()).1;
    let good = good.rsplit('.').next().unwrap();
    assert_eq!(good.len(), 16);
    assert!(SlotKey::parse(good).is_some());
    let longer = format!("{good}A");
    let padded = format!("{}=", &good[..15]);
    let others = [
        "",
        "-",
        "0-0",
        "AAAAAAAAAAAAAAA+",
        "AAAAAAAAAAAAAAA/",
        "AAAAAAAAAAAAAA東",
    ];
    for token in others.into_iter().chain([&good[..15], &*longer, &*padded]) {
        assert_eq!(SlotKey::parse(token), None, "{token}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Deliver(usize),
    /// Delivers a reply once more to a call that has it, or had it.
    Repeat(usize),
    /// Delivers a reply to a call that has ended.
    DeliverLate(usize),
    /// Delivers a message to a slot that is in use, under a nonce that was never drawn for it.
    Forge(u32, u64),
    Poll(usize),
    Close(usize),
    FailAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Open),
        3 => any::<usize>().prop_map(Step::Deliver),
        2 => any::<usize>().prop_map(Step::Repeat),
        2 => any::<usize>().prop_map(Step::DeliverLate),
        2 => (0..16_u32, any::<u64>()).prop_map(|(slot, nonce)| Step::Forge(slot, nonce)),
        3 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::Close),
        1 => Just(Step::FailAll),
    ];
    proptest::collection::vec(step, 0..400)
}

const FAILED: u64 = u64::MAX;
const STRAY: u64 = u64::MAX - 1;

proptest! {
    /// Each call is numbered; a reply carries the number of the call that its subject was made for. A call
    /// must get its own number or none, whatever else arrives.
    #[test]
    fn a_reply_reaches_its_own_call_or_none(steps in steps()) {
        let mut table = table::<()>();
        let mut open: Vec<(SlotKey, Subject, u64)> = Vec::new();
        let mut ended: Vec<Subject> = Vec::new();
        let mut delivered: HashMap<u64, u64> = HashMap::new();
        let mut used = HashSet::new();
        let mut next = 0;
        let mut most_open = 0;
        for step in steps {
            match step {
                Step::Open => {
                    let (key, subject) = table.reserve(destination());
                    prop_assert!(used.insert(subject.to_string()));
                    open.push((key, subject, next));
                    most_open = most_open.max(open.len());
                    next += 1;
                }
                Step::Deliver(at) if !open.is_empty() => {
                    let (_, subject, call) = &open[at % open.len()];
                    if let DeliveryOutcome::Woken(_) = table.deliver(key_of(subject), *call) {
                        prop_assert!(delivered.insert(*call, *call).is_none());
                    }
                }
                Step::Repeat(at) if !open.is_empty() => {
                    let (key, _, call) = &open[at % open.len()];
                    if delivered.contains_key(call) {
                        prop_assert!(matches!(table.deliver(*key, STRAY), DeliveryOutcome::Unmatched));
                    }
                }
                Step::DeliverLate(at) if !ended.is_empty() => {
                    let key = key_of(&ended[at % ended.len()]);
                    prop_assert!(matches!(table.deliver(key, STRAY), DeliveryOutcome::Unmatched));
                }
                Step::Forge(slot, nonce) => {
                    let key = SlotKey { slot, nonce };
                    if open.iter().all(|(other, ..)| *other != key) {
                        prop_assert!(matches!(table.deliver(key, STRAY), DeliveryOutcome::Unmatched));
                    }
                }
                Step::Poll(at) if !open.is_empty() => {
                    let at = at % open.len();
                    let (key, _, call) = open[at].clone();
                    match (table.poll(key, Waker::noop(), |_| false), delivered.get(&call)) {
                        (Poll::Ready(value), Some(expected)) => {
                            prop_assert_eq!(value, *expected);
                            ended.push(open.swap_remove(at).1);
                        }
                        (Poll::Pending, None) => {}
                        (polled, expected) => {
                            prop_assert!(false, "{polled:?} where {expected:?} was expected");
                        }
                    }
                }
                Step::Close(at) if !open.is_empty() => {
                    let (key, subject, _) = open.swap_remove(at % open.len());
                    drop(table.close(key));
                    ended.push(subject);
                }
                Step::FailAll => {
                    table.fail_all(|| FAILED);
                    for (_, _, call) in &open {
                        delivered.entry(*call).or_insert(FAILED);
                    }
                }
                _ => {}
            }
            prop_assert_eq!(table.in_use(), open.len());
        }
        prop_assert!(table.slots.len() <= most_open);
    }
}
