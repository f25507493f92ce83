//! Tests of gaps and ends of replays.

use super::*;

/// A replay of the stream 1 to 20 that has read 5, with so many events left.
fn at_five(unread: u64, end: Option<u64>) -> ReplayPosition {
    ReplayPosition::new(5, unread, end, 20)
}

#[test]
fn the_stream_is_asked_for_its_front_only_where_events_may_be_missing() {
    let check = |next: (u64, u64), is_behind_pause: bool, expected: bool| {
        let suspect = at_five(15, None).is_suspect(next.0, next.1, is_behind_pause);
        assert_eq!(suspect, expected, "{next:?} {is_behind_pause}");
    };
    // The next sequence.
    check((6, 14), true, false);
    check((6, 3), false, false);
    // Others lie between, and none that matches is missing.
    check((9, 14), false, false);
    check((9, 20), false, false);
    check((9, 13), false, true);
    // Others may have come in the place of those that were removed.
    check((9, 14), true, true);
}

#[test]
fn a_gap_is_what_the_front_of_the_stream_has_passed() {
    let check = |(next, pending): (u64, u64), first: u64, expected: Option<(u64, u64)>| {
        let stream = StreamEnds { first, last: 20 };
        let gap = at_five(15, Some(18)).gap(next, pending, stream);
        let expected = expected.map(|(first, last)| first..=last);
        assert_eq!(gap, expected, "{next} {first}");
    };
    check((9, 12), 1, None);
    check((9, 12), 6, None);
    check((9, 12), 7, Some((6, 6)));
    check((9, 12), 9, Some((6, 8)));
    // It has gone on since.
    check((9, 12), 12, Some((6, 8)));
    // All that match are there.
    check((9, 15), 12, None);
    // Behind the end of the replay.
    check((30, 1), 30, Some((6, 18)));
}

#[test]
fn added_events_do_not_hide_a_gap() {
    let stream = StreamEnds {
        first: 21,
        last: 40,
    };
    let gap = at_five(15, Some(20)).gap(21, 20, stream);
    assert_eq!(gap, Some(6..=20));
}

#[test]
fn a_replay_is_at_its_end_once_that_is_passed() {
    let mut position = at_five(1, Some(8));
    assert!(!position.is_at_end() && !position.may_be_at_end());
    position.pass(7, 0);
    assert!(!position.is_at_end() && position.may_be_at_end());
    assert!(position.is_idle_suspect(7), "8 is nowhere");
    assert!(!position.is_idle_suspect(8));
    position.pass(8, 0);
    assert!(position.is_at_end() && !position.may_be_at_end());
    assert!(position.is_beyond(9) && !position.is_beyond(8));
    position.pass(3, 0);
    assert_eq!(position.passed(), 8);
}
