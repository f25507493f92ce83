//! Tests of the retry policy: tables of failures and decisions, and the bounds of the budget.

use std::slice;

use super::*;
use crate::descriptor::MethodKind;

const NOT_IDEMPOTENT: MethodDescriptor =
    MethodDescriptor::new("a.B.C", "C", MethodKind::Unary, "a.D", "a.E");
const IDEMPOTENT: MethodDescriptor = NOT_IDEMPOTENT.idempotency(Idempotency::Idempotent);

fn no_responders() -> Status {
    Reason::NoResponders.status("")
}

fn with_retry_delay(seconds: i64) -> Status {
    let retry_delay = Some(prost_types::Duration { seconds, nanos: 0 });
    Status::unavailable("").with_detail(&RetryInfo { retry_delay })
}

fn free(milliseconds: u64) -> RetryDecision {
    RetryDecision::Retry {
        backoff: Duration::from_millis(milliseconds),
        is_charged: false,
    }
}

fn charged(milliseconds: u64) -> RetryDecision {
    RetryDecision::Retry {
        backoff: Duration::from_millis(milliseconds),
        is_charged: true,
    }
}

/// Checks the decision after `failures`, of which the last one is decided about. The jitter is 1, so that
/// the backoff is the longest one.
fn check(method: &MethodDescriptor, failures: &[Status], expected: RetryDecision) {
    let (last, earlier) = failures.split_last().expect("there is a failure");
    let mut policy = RetryPolicy::new(method, true);
    earlier.iter().for_each(|status| policy.record(status));
    assert_eq!(
        policy.decide(last, None, false, 1.0),
        expected,
        "{failures:?}"
    );
}

#[test]
fn code_reason_and_idempotency_decide_about_the_first_failure() {
    let too_large = || Reason::TooLarge.status("");
    let rows = [
        (no_responders(), free(100), free(100)),
        (Status::unavailable(""), RetryDecision::Fail, charged(50)),
        (
            Status::resource_exhausted(""),
            RetryDecision::Fail,
            charged(50),
        ),
        (too_large(), RetryDecision::Fail, RetryDecision::Fail),
        (
            Status::internal(""),
            RetryDecision::Fail,
            RetryDecision::Fail,
        ),
        (
            Status::deadline_exceeded(""),
            RetryDecision::Fail,
            RetryDecision::Fail,
        ),
        (
            Status::aborted(""),
            RetryDecision::Fail,
            RetryDecision::Fail,
        ),
    ];
    for (status, not_idempotent, idempotent) in rows {
        check(&NOT_IDEMPOTENT, slice::from_ref(&status), not_idempotent);
        check(&IDEMPOTENT, &[status], idempotent);
    }
}

#[test]
fn earlier_failures_decide_about_the_next_attempt() {
    let busy = || Status::unavailable("");
    for method in [NOT_IDEMPOTENT, IDEMPOTENT] {
        check(
            &method,
            &[no_responders(), no_responders()],
            RetryDecision::Fail,
        );
    }
    check(&IDEMPOTENT, &[busy(), busy()], charged(100));
    check(&IDEMPOTENT, &[busy(), busy(), busy()], RetryDecision::Fail);
    // An attempt without responders reached no server, and so is none of the three.
    check(&IDEMPOTENT, &[no_responders(), busy()], charged(50));
    check(
        &IDEMPOTENT,
        &[busy(), no_responders(), busy()],
        charged(100),
    );
    check(
        &NOT_IDEMPOTENT,
        &[no_responders(), busy()],
        RetryDecision::Fail,
    );
}

/// Services come back after their callers.
#[test]
fn requests_without_responders_are_sent_again_while_the_connection_settles() {
    let mut policy = RetryPolicy::new(&NOT_IDEMPOTENT, true);
    for backoff in [100, 200, 400, 400, 400] {
        let decision = policy.decide(&no_responders(), None, true, 1.0);
        assert_eq!(decision, free(backoff));
        policy.record(&no_responders());
    }
    let decision = policy.decide(&no_responders(), None, false, 1.0);
    assert_eq!(decision, RetryDecision::Fail);
    let decision = policy.decide(&Status::unavailable(""), None, true, 1.0);
    assert_eq!(decision, RetryDecision::Fail);
}

#[test]
fn jitter_spreads_the_backoff() {
    let check = |status: Status, jitter: f64, expected: RetryDecision| {
        let policy = RetryPolicy::new(&IDEMPOTENT, true);
        assert_eq!(
            policy.decide(&status, None, false, jitter),
            expected,
            "{status}"
        );
    };
    check(no_responders(), 0.0, free(50));
    check(no_responders(), 0.5, free(75));
    check(Status::unavailable(""), 0.0, charged(0));
    check(Status::unavailable(""), 0.5, charged(25));
}

#[test]
fn a_servers_retry_delay_is_the_least_backoff() {
    let check = |seconds, expected| {
        let policy = RetryPolicy::new(&IDEMPOTENT, true);
        assert_eq!(
            policy.decide(&with_retry_delay(seconds), None, false, 1.0),
            expected
        );
    };
    check(2, charged(2_000));
    check(1_000_000, charged(10_000));
    check(-5, charged(50));
}

#[test]
fn a_backoff_that_reaches_the_deadline_fails_the_call() {
    let check = |left: u64, expected: RetryDecision| {
        let policy = RetryPolicy::new(&IDEMPOTENT, true);
        let left = Some(Duration::from_millis(left));
        assert_eq!(
            policy.decide(&Status::unavailable(""), left, false, 1.0),
            expected,
            "{left:?}"
        );
    };
    check(0, RetryDecision::Fail);
    check(50, RetryDecision::Fail);
    check(51, charged(50));
}

#[test]
fn a_call_without_retries_fails_at_once() {
    let policy = RetryPolicy::new(&IDEMPOTENT, false);
    for status in [no_responders(), Status::unavailable("")] {
        assert_eq!(
            policy.decide(&status, None, false, 0.0),
            RetryDecision::Fail
        );
    }
}

#[test]
fn drawn_backoffs_stay_in_their_bounds() {
    for _ in 0..100 {
        let budget = RetryBudget::new();
        let mut policy = RetryPolicy::new(&IDEMPOTENT, true);
        let mut backoff = |status: &Status| policy.retry_or_fail(status, None, false, &budget);
        let no_responders = backoff(&no_responders()).unwrap();
        assert!(NO_RESPONDERS_BACKOFF.contains(&no_responders));
        let busy = Status::unavailable("");
        let first = backoff(&busy).unwrap();
        let second = backoff(&busy).unwrap();
        assert!(first <= INITIAL_BACKOFF, "{first:?}");
        assert!(second <= 2 * INITIAL_BACKOFF, "{second:?}");
        assert_eq!(backoff(&busy), None);
    }
}

#[test]
fn an_empty_budget_fails_charged_retries_only() {
    let budget = RetryBudget::new();
    while budget.withdraw() {}
    let after = |status: &Status| {
        RetryPolicy::new(&IDEMPOTENT, true)
            .retry_or_fail(status, None, false, &budget)
            .is_some()
    };
    assert!(!after(&Status::unavailable("")));
    assert!(after(&no_responders()));
}

#[test]
fn retries_are_at_most_a_tenth_of_the_calls() {
    let budget = RetryBudget::new();
    let initial = (0..1000).filter(|_| budget.withdraw()).count();
    assert_eq!(initial, 10);
    let retries_after_calls_of = |method: &MethodDescriptor| {
        let retries = (0..1000).filter(|_| {
            budget.deposit_for(method);
            budget.withdraw()
        });
        retries.count()
    };
    assert_eq!(retries_after_calls_of(&IDEMPOTENT), 100);
    assert_eq!(retries_after_calls_of(&NOT_IDEMPOTENT), 0);
}
