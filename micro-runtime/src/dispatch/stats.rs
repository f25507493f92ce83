//! Counts of one method at one instance: a few relaxed atomics a call, read when somebody asks.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::status::Status;
use crate::sync::lock;

/// Times below 2^10 ns share the first bucket, times above 2^36 ns (69 s) the last.
const FIRST_OCTAVE: u32 = 10;
const LAST_OCTAVE: u32 = 36;
/// Buckets for each doubling: a quantile is right to within an eighth.
const PER_OCTAVE: u32 = 4;
const BUCKETS: usize = ((LAST_OCTAVE - FIRST_OCTAVE) * PER_OCTAVE) as usize;
/// Of a text that may be as long as a message.
const ERROR_TEXT: usize = 512;

/// What has been counted of one method.
#[derive(Debug)]
pub(crate) struct MethodStats {
    requests: AtomicU64,
    errors: AtomicU64,
    shed: AtomicU64,
    processing_ns: AtomicU64,
    times: [AtomicU64; BUCKETS],
    last_error: Mutex<String>,
}

/// What had been counted at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) shed: u64,
    pub(crate) processing: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) last_error: String,
}

impl MethodStats {
    pub(crate) fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            processing_ns: AtomicU64::new(0),
            times: [const { AtomicU64::new(0) }; BUCKETS],
            last_error: Mutex::default(),
        }
    }

    /// Counts a request. Called before its reply is sent: who has a reply finds it counted.
    pub(crate) fn record(&self, took: Duration, failure: Option<&Status>) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.processing_ns.fetch_add(took, Ordering::Relaxed);
        self.times[bucket(took)].fetch_add(1, Ordering::Relaxed);
        if let Some(status) = failure {
            self.errors.fetch_add(1, Ordering::Relaxed);
            self.remember(status);
        }
    }

    /// Counts a request that a limit turned away, besides [`record`](Self::record).
    pub(crate) fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reset(&self) {
        for counter in [
            &self.requests,
            &self.errors,
            &self.shed,
            &self.processing_ns,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        for counter in &self.times {
            counter.store(0, Ordering::Relaxed);
        }
        lock(&self.last_error).clear();
    }

    pub(crate) fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let times = self.times.each_ref().map(load);
        Counts {
            requests: load(&self.requests),
            errors: load(&self.errors),
            shed: load(&self.shed),
            processing: Duration::from_nanos(load(&self.processing_ns)),
            p50: quantile(&times, 50),
            p99: quantile(&times, 99),
            last_error: lock(&self.last_error).clone(),
        }
    }

    /// ADR-32's form: `code:description`.
    fn remember(&self, status: &Status) {
        let text = status.message();
        let end = text.floor_char_boundary(ERROR_TEXT);
        let mut last = lock(&self.last_error);
        last.clear();
        let code = status.code().service_error_code();
        let _ = write!(last, "{code}:{}", &text[..end]);
    }
}

/// The bucket of a time: its highest bit, and the two bits below.
fn bucket(nanoseconds: u64) -> usize {
    let octave = nanoseconds.checked_ilog2().unwrap_or(0);
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let part = (nanoseconds >> (octave - 2)) & 3;
    let index = u64::from((octave - FIRST_OCTAVE) * PER_OCTAVE) + part;
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The middle of a bucket.
fn middle(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    let per_octave = u64::from(PER_OCTAVE);
    let octave = bucket / per_octave + u64::from(FIRST_OCTAVE);
    let width = 1_u64 << (octave - 2);
    let low = (per_octave + bucket % per_octave) * width;
    Duration::from_nanos(low + width / 2)
}

/// The time within which `percent` of the calls were done; zero if there were none.
fn quantile(times: &[u64; BUCKETS], percent: u64) -> Duration {
    let total = times.iter().sum::<u64>();
    let wanted = (total * percent).div_ceil(100);
    let mut seen = 0;
    for (index, count) in times.iter().enumerate() {
        seen += count;
        if seen >= wanted && *count > 0 {
            return middle(index);
        }
    }
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_found_again_to_within_an_eighth() {
        for exponent in FIRST_OCTAVE..LAST_OCTAVE - 1 {
            for tenth in 10..20 {
                let time = (1_u64 << exponent) / 10 * tenth;
                if time < 1 << FIRST_OCTAVE {
                    continue;
                }
                let found = middle(bucket(time)).as_nanos() as f64;
                let off = (found - time as f64).abs() / time as f64;
                assert!(off <= 0.126, "{time} becomes {found}");
            }
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

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
        assert_eq!(counts.processing, Duration::from_micros(29_800));
        assert!(counts.p50.abs_diff(Duration::from_micros(100)) < Duration::from_micros(13));
        assert!(counts.p99.abs_diff(Duration::from_millis(10)) < Duration::from_micros(1300));
        stats.reset();
        assert_eq!(stats.counts(), MethodStats::new().counts());
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(MethodStats::new().counts().p99, Duration::ZERO);
    }
}
