//! `RetryPolicy`: decides whether a failed request is sent again, and after which backoff.
//!
//! Three limits keep retries from turning an overload into an outage:
//!
//! - **Safety.** A request that may have reached a handler is sent again only if its .proto declares an
//!   `idempotency_level`. A request without responders reached none and is always safe to send again.
//! - **Attempts.** At most [`MAX_ATTEMPTS`], with exponential backoff and full jitter, so that clients
//!   that failed together do not come back together.
//! - **Budget.** All calls of a client share a [`RetryBudget`], which limits retries to a tenth of the
//!   calls in the long run. Without it a server that fails every request would receive three times
//!   the load.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::descriptor::{Idempotency, MethodDescriptor};
use crate::status::details::RetryInfo;
use crate::status::{Code, Reason, Status};

/// Maximum number of times that a request of an idempotent method is sent, the first time included.
const MAX_ATTEMPTS: u32 = 3;
/// Backoff before a request without responders is sent once more. In a cluster of nats-servers a new
/// subscription takes this long to become known everywhere, and the caller must learn within 200 ms
/// that no instance is there (docs/PROTOCOL.md, CALL-6).
const NO_RESPONDERS_BACKOFF: RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_millis(100);
/// Maximum factor by which that backoff grows while the connection settles: it doubles with each attempt.
const MAX_SETTLING_FACTOR: u32 = 4;
/// Upper bound of the backoff before the second attempt; it doubles with each further attempt.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);
/// Upper bound of the exponential backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Maximum backoff that a server's `RetryInfo` can request; longer ones are cut to it.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Units of a [`RetryBudget`] that one retry costs.
const RETRY_COST: i64 = 10;
/// Units that one call adds to a [`RetryBudget`]; a tenth of [`RETRY_COST`].
const CALL_DEPOSIT: i64 = 1;
/// Units in a new [`RetryBudget`], and the most that it can hold: ten retries.
const INITIAL_BUDGET: i64 = 10 * RETRY_COST;

/// Retry state of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// Whether the caller allows retries.
    is_enabled: bool,
    is_idempotent: bool,
    /// Number of failed attempts so far, without those that had no responders.
    failures: u32,
    /// Number of attempts so far that had no responders.
    without_responders: u32,
}

/// Decision after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    /// The call fails with the status of the attempt.
    Fail,
    /// The request is sent again after `backoff`.
    Retry {
        backoff: Duration,
        /// Whether the retry is paid from the [`RetryBudget`]. A retry without responders is free: it
        /// puts no load on a server.
        is_charged: bool,
    },
}

/// Units for retries, shared by all calls of one client.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicI64);

impl RetryPolicy {
    pub(crate) fn new(method: &MethodDescriptor, may_retry: bool) -> Self {
        Self {
            is_enabled: may_retry,
            is_idempotent: is_idempotent(method),
            failures: 0,
            without_responders: 0,
        }
    }

    /// Decides after an attempt that failed with `status`, records the failure, and takes the cost of a
    /// retry out of `budget`. `time_left` is the time until the deadline, `None` without one.
    ///
    /// `is_settling` is whether the connection was made anew a moment ago, so that services may follow.
    ///
    /// Returns the backoff before the next attempt; `None` if the call fails.
    pub(crate) fn retry_or_fail(
        &mut self,
        status: &Status,
        time_left: Option<Duration>,
        is_settling: bool,
        budget: &RetryBudget,
    ) -> Option<Duration> {
        let decision = self.decide(status, time_left, is_settling, fastrand::f64());
        self.record(status);
        match decision {
            RetryDecision::Retry {
                backoff,
                is_charged,
            } => (!is_charged || budget.withdraw()).then_some(backoff),
            RetryDecision::Fail => None,
        }
    }

    /// The decision as a pure function; `jitter` is a random number from 0 to 1.
    fn decide(
        &self,
        status: &Status,
        time_left: Option<Duration>,
        is_settling: bool,
        jitter: f64,
    ) -> RetryDecision {
        let Some((backoff, is_charged)) = self.backoff(status, is_settling, jitter) else {
            return RetryDecision::Fail;
        };
        // An attempt that would begin at the deadline or later cannot succeed: the caller learns the
        // reason of the last failure, and at once.
        match time_left {
            Some(left) if backoff >= left => RetryDecision::Fail,
            _ => RetryDecision::Retry {
                backoff,
                is_charged,
            },
        }
    }

    /// Returns the backoff before the next attempt and whether that is charged; `None` if the request
    /// must not be sent again.
    fn backoff(&self, status: &Status, is_settling: bool, jitter: f64) -> Option<(Duration, bool)> {
        if !self.is_enabled {
            return None;
        }
        if is_without_responders(status) {
            let (min, max) = NO_RESPONDERS_BACKOFF.into_inner();
            let factor = 2u32
                .saturating_pow(self.without_responders)
                .min(MAX_SETTLING_FACTOR);
            let backoff = (min + (max - min).mul_f64(jitter)) * factor;
            let is_first = self.without_responders == 0;
            return (is_first || is_settling).then_some((backoff, false));
        }
        if !self.is_idempotent || !is_transient(status) || self.failures + 1 >= MAX_ATTEMPTS {
            return None;
        }
        let max = (INITIAL_BACKOFF * 2u32.saturating_pow(self.failures)).min(MAX_BACKOFF);
        let backoff = max.mul_f64(jitter).max(retry_delay(status));
        Some((backoff, true))
    }

    fn record(&mut self, status: &Status) {
        if is_without_responders(status) {
            self.without_responders += 1;
        } else {
            self.failures += 1;
        }
    }
}

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(INITIAL_BUDGET))
    }

    /// Counts a call, which pays for a tenth of a retry.
    ///
    /// Only calls that could be retried count: otherwise a client that mostly makes other calls would
    /// save up retries for the few that can be.
    pub(crate) fn deposit_for(&self, method: &MethodDescriptor) {
        // Load and add are not one step: calls that run in parallel may overfill the budget by one unit
        // each, which is harmless and cheaper than a loop on every call.
        if is_idempotent(method) && self.0.load(Ordering::Relaxed) < INITIAL_BUDGET {
            self.0.fetch_add(CALL_DEPOSIT, Ordering::Relaxed);
        }
    }

    /// Takes the cost of one retry; returns whether there was enough for it.
    fn withdraw(&self) -> bool {
        let take = |left: i64| (left >= RETRY_COST).then(|| left - RETRY_COST);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

/// Returns whether a second call of the method does no harm.
fn is_idempotent(method: &MethodDescriptor) -> bool {
    !matches!(method.idempotency, Idempotency::Unknown)
}

fn is_without_responders(status: &Status) -> bool {
    status.reason() == Some(Reason::NoResponders)
}

/// Returns whether the same request may succeed later. A request that is too large never does, although
/// it fails with `RESOURCE_EXHAUSTED`.
fn is_transient(status: &Status) -> bool {
    let is_passing = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
    is_passing && status.reason() != Some(Reason::TooLarge)
}

/// Returns the backoff that the server requested with `RetryInfo`; zero without one.
fn retry_delay(status: &Status) -> Duration {
    status
        .detail::<RetryInfo>()
        .and_then(|info| Duration::try_from(info.retry_delay?).ok())
        .unwrap_or_default()
        .min(MAX_RETRY_DELAY)
}

#[cfg(test)]
#[path = "retry_policy_tests.rs"]
mod tests;
