//! When a request is sent again: only where it is safe, few times, and never by everybody at once.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::status::details::RetryInfo;
use crate::status::{Code, Reason, Status};

/// How often a request is sent at most, where its failure says that a second try may help.
const ATTEMPTS: u32 = 3;
/// How long a request rests that nobody served, in milliseconds, before it is sent once more: in a
/// cluster a new subscription takes this long to be known everywhere.
const NO_RESPONDERS_REST_MS: std::ops::RangeInclusive<u64> = 50..=100;
/// The longest rest before the second attempt; it doubles with each attempt after that.
const FIRST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);
/// A server's hint above this is taken for this.
const LONGEST_HINT: Duration = Duration::from_secs(10);

/// What one retry costs, and what each call brings: retries are at most a tenth of the calls.
const RETRY: i64 = 10;
const CALL: i64 = 1;
/// What a client that starts, or was idle, may spend.
const SAVINGS: i64 = 10 * RETRY;

/// How often one request has been sent.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    sent: u32,
    failed: u32,
    has_rested: bool,
}

/// Retries that one client may still make, shared by its calls.
#[derive(Debug)]
pub(crate) struct Budget(AtomicI64);

impl Attempts {
    /// Counts one sending, and says which it is, from 1.
    pub(crate) fn next(&mut self) -> u32 {
        self.sent += 1;
        self.sent
    }

    /// How long to rest before the request is sent once more; `None` if it must not be.
    ///
    /// A request that nobody received can always be sent again, and is, once. One that somebody may
    /// have received is sent again only where the .proto says that this does no harm.
    pub(crate) fn rest(
        &mut self,
        status: &Status,
        method: &MethodDescriptor,
        budget: &Budget,
    ) -> Option<Duration> {
        if status.reason() == Some(Reason::NoResponders) {
            let rest = Duration::from_millis(fastrand::u64(NO_RESPONDERS_REST_MS));
            return (!std::mem::replace(&mut self.has_rested, true)).then_some(rest);
        }
        if !is_safe(method) || !may_help(status) {
            return None;
        }
        self.failed += 1;
        if self.failed >= ATTEMPTS || !budget.withdraw() {
            return None;
        }
        let longest = (FIRST_REST * 2u32.saturating_pow(self.failed - 1)).min(LONGEST_REST);
        Some(longest.mul_f64(fastrand::f64()).max(hint(status)))
    }
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(SAVINGS))
    }

    /// Counts a call, which pays for a tenth of a retry.
    pub(crate) fn deposit(&self) {
        if self.0.load(Ordering::Relaxed) < SAVINGS {
            self.0.fetch_add(CALL, Ordering::Relaxed);
        }
    }

    fn withdraw(&self) -> bool {
        let take = |left: i64| (left >= RETRY).then(|| left - RETRY);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

/// Says whether a method's calls may be sent again at all.
pub(crate) fn is_safe(method: &MethodDescriptor) -> bool {
    !matches!(method.idempotency, Idempotency::Unknown)
}

fn may_help(status: &Status) -> bool {
    let is_passing = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
    is_passing && status.reason() != Some(Reason::TooLarge)
}

fn hint(status: &Status) -> Duration {
    status
        .detail::<RetryInfo>()
        .and_then(|info| Duration::try_from(info.retry_delay?).ok())
        .unwrap_or_default()
        .min(LONGEST_HINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::MethodKind;

    const CAREFUL: MethodDescriptor =
        MethodDescriptor::new("a.B.C", "C", MethodKind::Unary, "a.D", "a.E");
    const SAFE: MethodDescriptor = CAREFUL.idempotency(Idempotency::Idempotent);

    fn nobody() -> Status {
        Reason::NoResponders.status("")
    }

    #[test]
    fn a_request_that_nobody_received_is_sent_once_more() {
        let mut attempts = Attempts::default();
        let budget = Budget::new();
        let rest = attempts.rest(&nobody(), &CAREFUL, &budget).unwrap();
        assert!((50..=100).contains(&rest.as_millis()), "{rest:?}");
        assert_eq!(attempts.rest(&nobody(), &CAREFUL, &budget), None);
        // The caller must know within 200 ms, whatever the method.
        let mut attempts = Attempts::default();
        assert!(attempts.rest(&nobody(), &SAFE, &budget).is_some());
        assert_eq!(attempts.rest(&nobody(), &SAFE, &budget), None);
    }

    #[test]
    fn what_is_sent_again_is_decided_by_code_and_method() {
        let check = |status: Status, method: &MethodDescriptor, expected: bool| {
            let rest = Attempts::default().rest(&status, method, &Budget::new());
            assert_eq!(rest.is_some(), expected, "{status} {method:?}");
        };
        check(Status::unavailable(""), &SAFE, true);
        check(Status::resource_exhausted(""), &SAFE, true);
        check(Status::unavailable(""), &CAREFUL, false);
        check(Status::resource_exhausted(""), &CAREFUL, false);
        check(Status::internal(""), &SAFE, false);
        check(Status::deadline_exceeded(""), &SAFE, false);
        check(Status::aborted(""), &SAFE, false);
        let too_large = Reason::TooLarge.status("");
        check(too_large, &SAFE, false);
    }

    #[test]
    fn three_attempts_and_rests_that_double() {
        for _ in 0..100 {
            let mut attempts = Attempts::default();
            let budget = Budget::new();
            let busy = Status::unavailable("");
            let first = attempts.rest(&busy, &SAFE, &budget).unwrap();
            let second = attempts.rest(&busy, &SAFE, &budget).unwrap();
            assert!(first <= FIRST_REST, "{first:?}");
            assert!(second <= 2 * FIRST_REST, "{second:?}");
            assert_eq!(attempts.rest(&busy, &SAFE, &budget), None);
        }
    }

    #[test]
    fn a_servers_hint_is_waited_for() {
        let hinted = |seconds| {
            let retry_delay = Some(prost_types::Duration { seconds, nanos: 0 });
            let status = Status::unavailable("").with_detail(&RetryInfo { retry_delay });
            Attempts::default().rest(&status, &SAFE, &Budget::new())
        };
        assert_eq!(hinted(2), Some(Duration::from_secs(2)));
        assert_eq!(hinted(1_000_000), Some(LONGEST_HINT));
        assert!(hinted(-5).unwrap() <= FIRST_REST);
    }

    #[test]
    fn retries_are_at_most_a_tenth_of_the_calls() {
        let budget = Budget::new();
        let savings = (0..1000).filter(|_| budget.withdraw()).count();
        assert_eq!(savings, 10);
        let retries = (0..1000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        assert_eq!(retries.count(), 100);
    }
}
