//! Cases of `delivery_state`: judgments of redeliveries, and outcomes of handlers.

use super::*;

#[test]
fn a_redelivery_is_judged_by_its_record() {
    let record = |attempts, delivery, is_ended| {
        Some(AttemptRecord {
            attempts,
            delivery,
            is_ended,
        })
    };
    let check = |record, deliveries, known, is_suspect| {
        let expected = Judgment { known, is_suspect };
        assert_eq!(judge(record, deliveries), expected, "{record:?}");
    };
    // Its first process ended, or its acknowledgment was lost: it may have begun.
    check(None, 2, 0, true);
    check(None, 9, 0, true);
    // It failed, or was given back, at the delivery before this one.
    check(record(1, 1, true), 2, 1, false);
    check(record(0, 1, true), 2, 0, false);
    check(record(3, 7, true), 8, 3, false);
    // A delivery between has left no record.
    check(record(3, 7, true), 9, 3, true);
    check(record(0, 1, true), 3, 0, true);
    // It was begun, and nothing came of it.
    check(record(2, 2, false), 3, 2, true);
    check(record(2, 2, false), 7, 2, true);
}

#[test]
fn final_failures_are_given_up_at_once_and_others_at_the_last_attempt() {
    let limited = Durable::named("c")
        .max_attempts(3)
        .backoff([Duration::ZERO]);
    let again = AttemptOutcome::Retried(Duration::ZERO);
    let check = |status: Status, attempt, is_alone, expected| {
        let text = status.to_string();
        let found = outcome(&limited, &Err(status), attempt, is_alone);
        assert_eq!(found, expected, "{text}");
    };
    for code in [Code::InvalidArgument, Code::OutOfRange, Code::Unimplemented] {
        check(Status::new(code, "no"), 1, true, AttemptOutcome::GivenUp);
        check(Status::new(code, "no"), 1, false, again);
        check(Status::new(code, "no"), 3, false, AttemptOutcome::GivenUp);
    }
    for code in [
        Code::NotFound,
        Code::FailedPrecondition,
        Code::Unavailable,
        Code::Internal,
        Code::DeadlineExceeded,
        Code::Aborted,
    ] {
        check(Status::new(code, "no"), 1, true, again);
        check(Status::new(code, "no"), 2, true, again);
        check(Status::new(code, "no"), 3, true, AttemptOutcome::GivenUp);
    }
    let rejected = || Context::for_test().reject("closed");
    check(rejected(), 1, true, AttemptOutcome::GivenUp);
    check(rejected(), 1, false, again);
    let unreadable = Reason::Undecodable.status("no trade");
    check(unreadable, 1, false, AttemptOutcome::GivenUp);
    let succeeded = outcome(&limited, &Ok(()), 99, true);
    assert_eq!(succeeded, AttemptOutcome::Succeeded);
}
