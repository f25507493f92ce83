//! Cases of `in_flight`: whose progress is reported, and what is recorded of deliveries that are given back.

use std::time::Duration;

use super::*;
use crate::context::{Context, StopSignal, TimeLimit, TimeoutSource};

fn delivery(count: u64) -> Delivery {
    let reply = format!("$JS.ACK.S.c.{count}.9.4.5000000000.7");
    Delivery::parse(&"S".into(), &reply).unwrap()
}

fn begun(deadline: Instant) -> DeliveryState {
    let limit = TimeLimit {
        deadline,
        timeout: Duration::from_secs(1),
        source: TimeoutSource::Consumer,
    };
    DeliveryState::Begun(Context::of_batch(
        Vec::new(),
        Some(limit),
        &StopSignal::default(),
    ))
}

#[test]
fn progress_is_due_for_deliveries_that_an_earlier_tick_has_seen() {
    let now = Instant::now();
    let in_flight = Arc::new(InFlight::default());
    let first = in_flight.insert("a".into(), delivery(1));
    assert_eq!(in_flight.tick(now), []);
    let second = in_flight.insert("b".into(), delivery(1));
    assert_eq!(in_flight.tick(now), [Subject::from("a")]);
    drop(first);
    assert_eq!(in_flight.tick(now), [Subject::from("b")]);
    assert_eq!(in_flight.count(), 1);
    drop(second);
    assert_eq!((in_flight.count(), in_flight.tick(now).len()), (0, 0));
}

#[test]
fn handlers_that_outlive_their_deadline_make_no_progress_nor_do_those_that_wait_for_them() {
    let now = Instant::now();
    let later = now + Duration::from_secs(9);
    let in_flight = Arc::new(InFlight::default());
    let guards =
        ["a", "b", "waiting", "settling"].map(|reply| in_flight.insert(reply.into(), delivery(1)));
    guards[3].enter(DeliveryState::Settling);
    in_flight.tick(now);
    let due = |now| {
        let due = in_flight.tick(now);
        due.iter().map(Subject::to_string).collect::<Vec<_>>()
    };
    assert_eq!(due(now), ["a", "b", "waiting", "settling"]);
    guards[0].enter(begun(now));
    guards[1].enter(begun(later));
    assert_eq!(due(now), ["a", "b", "waiting", "settling"]);
    let past = now + Duration::from_secs(1);
    assert_eq!(due(past), ["b", "waiting", "settling"]);
    let end = later + Duration::from_secs(1);
    assert_eq!(due(end), ["settling"]);
}

#[test]
fn what_is_given_back_counts_the_attempts_that_have_begun() {
    let in_flight = Arc::new(InFlight::default());
    let check = |guard: &InFlightGuard, expected| {
        let left = in_flight.left();
        assert_eq!(left[guard.slot].attempts, expected);
    };
    let new = in_flight.insert("a".into(), delivery(1));
    check(&new, Some(0));
    new.enter(begun(Instant::now()));
    check(&new, Some(1));

    let again = in_flight.insert("b".into(), delivery(3));
    check(&again, None);
    let judgment = Judgment {
        known: 1,
        is_suspect: false,
    };
    again.judge(judgment);
    check(&again, Some(1));
    again.enter(begun(Instant::now()));
    check(&again, Some(2));

    let suspect = in_flight.insert("c".into(), delivery(3));
    suspect.judge(Judgment {
        is_suspect: true,
        ..judgment
    });
    check(&suspect, None);
}
