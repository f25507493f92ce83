//! `LatencyHistogram`: how long the calls of one method took, as counts of ranges of time.
//!
//! A range is a quarter of a doubling, so that microseconds and minutes have the same relative precision.
//! The bucket of a time is its highest bit and the two bits below it: no logarithm is taken and no table
//! is searched.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Binary logarithm of the upper bound of the first bucket in nanoseconds: times below 1 µs share it.
const FIRST_OCTAVE: u32 = 10;
/// Binary logarithm of the time in nanoseconds from which all times share the last bucket: 69 s.
const LAST_OCTAVE: u32 = 36;
/// Number of buckets for each doubling of the time: a quantile is right to within an eighth.
const BUCKETS_PER_OCTAVE: u32 = 4;
const BUCKET_COUNT: usize = ((LAST_OCTAVE - FIRST_OCTAVE) * BUCKETS_PER_OCTAVE) as usize;

/// Counts of calls by the time that they took, in buckets whose width grows with the time.
///
/// To record a call is one relaxed addition without a lock, at any number of threads. It takes 832 bytes
/// for a method, however many calls are counted.
#[derive(Debug)]
pub(super) struct LatencyHistogram([AtomicU64; BUCKET_COUNT]);

impl LatencyHistogram {
    pub(super) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKET_COUNT])
    }

    /// Counts a call that took this time.
    pub(super) fn record(&self, nanoseconds: u64) {
        self.0[bucket(nanoseconds)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reset(&self) {
        for counter in &self.0 {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the times within which these percentages of the calls were done, all of the same moment;
    /// zero if there were no calls.
    pub(super) fn percentiles<const N: usize>(&self, percentages: [u64; N]) -> [Duration; N] {
        let counts = self
            .0
            .each_ref()
            .map(|counter| counter.load(Ordering::Relaxed));
        percentages.map(|percentage| percentile(&counts, percentage))
    }
}

/// Returns the bucket of a time: its highest bit, and the two bits below.
fn bucket(nanoseconds: u64) -> usize {
    let octave = nanoseconds.checked_ilog2().unwrap_or(0);
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let part = (nanoseconds >> (octave - 2)) & 3;
    let index = u64::from((octave - FIRST_OCTAVE) * BUCKETS_PER_OCTAVE) + part;
    usize::try_from(index)
        .unwrap_or(BUCKET_COUNT)
        .min(BUCKET_COUNT - 1)
}

/// Returns the middle of a bucket.
fn middle(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    let per_octave = u64::from(BUCKETS_PER_OCTAVE);
    let octave = bucket / per_octave + u64::from(FIRST_OCTAVE);
    let width = 1_u64 << (octave - 2);
    let low = (per_octave + bucket % per_octave) * width;
    Duration::from_nanos(low + width / 2)
}

/// Returns the middle of the bucket in which the call of this rank lies.
fn percentile(counts: &[u64; BUCKET_COUNT], percentage: u64) -> Duration {
    let total = counts.iter().sum::<u64>();
    let wanted = (total * percentage).div_ceil(100);
    let mut passed = 0;
    for (index, count) in counts.iter().enumerate() {
        passed += count;
        if passed >= wanted && *count > 0 {
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
        assert_eq!(bucket(u64::MAX), BUCKET_COUNT - 1);
    }

    #[test]
    fn without_calls_percentiles_are_zero() {
        let histogram = LatencyHistogram::new();
        assert_eq!(histogram.percentiles([50, 99]), [Duration::ZERO; 2]);
    }
}
