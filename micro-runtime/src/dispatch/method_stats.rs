//! `MethodStats`: the counts of one method at one instance, which discovery's STATS shows.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::dispatch::latency_histogram::LatencyHistogram;
use crate::status::Status;
use crate::sync::lock;
use crate::wire;

/// Maximum length in bytes of the last error's text, which may otherwise be as long as a message.
const MAX_ERROR_TEXT_LEN: usize = 512;

/// Counts of one method at one instance since its start or its last reset (docs/PROTOCOL.md, DISC-7).
///
/// A call costs four relaxed additions and no lock; only a failure takes the lock of its text. Counts that
/// are read together may so differ by the calls that are being counted at that moment.
#[derive(Debug)]
pub(crate) struct MethodStats {
    requests: AtomicU64,
    errors: AtomicU64,
    shed: AtomicU64,
    processing_ns: AtomicU64,
    latencies: LatencyHistogram,
    last_error: Mutex<String>,
}

/// Values of a method's counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MethodCounts {
    /// Requests, failures and refusals among them.
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// Requests that were refused since a limit was reached; they are among the errors, too.
    pub(super) shed: u64,
    /// Sum of the times from receipt to reply.
    pub(super) processing: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// `<Nats-Service-Error-Code>:<text>`; empty if there was no error.
    pub(super) last_error: String,
}

impl MethodStats {
    pub(crate) fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            processing_ns: AtomicU64::new(0),
            latencies: LatencyHistogram::new(),
            last_error: Mutex::default(),
        }
    }

    /// Counts a request that took this time from its receipt. Must be called before its reply is sent: a
    /// caller that has the reply finds its request counted.
    pub(super) fn record(&self, took: Duration, failure: Option<&Status>) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.processing_ns.fetch_add(took, Ordering::Relaxed);
        self.latencies.record(took);
        if let Some(status) = failure {
            self.errors.fetch_add(1, Ordering::Relaxed);
            self.set_last_error(status);
        }
    }

    /// Counts a request that a limit refused, besides [`record`](Self::record).
    pub(super) fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets all counts to zero. A call that is counted at the same moment may be lost in part.
    pub(super) fn reset(&self) {
        for counter in [
            &self.requests,
            &self.errors,
            &self.shed,
            &self.processing_ns,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.latencies.reset();
        lock(&self.last_error).clear();
    }

    pub(super) fn counts(&self) -> MethodCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [p50, p99] = self.latencies.percentiles([50, 99]);
        MethodCounts {
            requests: load(&self.requests),
            errors: load(&self.errors),
            shed: load(&self.shed),
            processing: Duration::from_nanos(load(&self.processing_ns)),
            p50,
            p99,
            last_error: lock(&self.last_error).clone(),
        }
    }

    /// Keeps a failure in ADR-32's form, `code:description`.
    fn set_last_error(&self, status: &Status) {
        let text = status.message();
        let end = text.floor_char_boundary(MAX_ERROR_TEXT_LEN);
        let mut last = lock(&self.last_error);
        last.clear();
        let code = wire::service_error_code(status);
        let _ = write!(last, "{code}:{}", &text[..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Reason;

    #[test]
    fn failures_are_requests_too() {
        let stats = MethodStats::new();
        for _ in 0..98 {
            stats.record(Duration::from_micros(100), None);
        }
        let failure = Status::not_found("no account 7");
        for _ in 0..2 {
            stats.record(Duration::from_millis(10), Some(&failure));
        }
        let counts = stats.counts();
        assert_eq!((counts.requests, counts.errors), (100, 2));
        assert_eq!(counts.last_error, "404:no account 7");
        stats.record(Duration::ZERO, Some(&Reason::TooLarge.status("too long")));
        assert_eq!(stats.counts().last_error, "413:too long");
        assert_eq!(counts.processing, Duration::from_micros(29_800));
        assert!(counts.p50.abs_diff(Duration::from_micros(100)) < Duration::from_micros(13));
        assert!(counts.p99.abs_diff(Duration::from_millis(10)) < Duration::from_micros(1300));
        stats.reset();
        assert_eq!(stats.counts(), MethodStats::new().counts());
    }
}
