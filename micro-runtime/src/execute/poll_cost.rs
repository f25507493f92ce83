//! `PollCost`: how long the handlers of one method hold a thread, and so whether to run the next in place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest first poll of a method whose handlers run in place. To spawn a task and wake a thread for it
/// takes time of this order, so that a longer handler loses little by it.
const MAX_INLINE_POLL: Duration = Duration::from_micros(50);
/// Factor by which everything takes longer in a build without optimization, where the limit is longer as well.
const SLOWNESS: u32 = if cfg!(debug_assertions) { 10 } else { 1 };
/// Instant of real time, in which alone polls are measured: paused time, as tests have it, stands still during a
/// poll, so that every method would prove short.
pub(super) type RealInstant = std::time::Instant;

/// Share of the longest recent poll that each shorter one after it takes off: a sixteenth.
const DECAY_DIVISOR: u64 = 16;
/// Nanoseconds that stand for a method without a poll so far.
const UNPROVEN: u64 = u64::MAX;

/// The longest recent first poll of one method's handlers, or of one subscription's.
///
/// A handler that runs in place, within the loop that reads the subscription, saves the spawning of a
/// task and the move to another thread; all requests behind it wait meanwhile. So only methods whose
/// first poll has proved short may do so. Only the first poll is measured, since it alone would run in
/// place: a handler that has to wait goes on in a task.
///
/// - A method is unproven at first: its handlers are spawned, and their first polls are timed there. No
///   trial in place ever holds up the requests behind it.
/// - One long poll makes the method unproven again. It is the longest poll that counts and not the
///   average: a method that is fast for most arguments and slow for some must not hold up the others.
/// - The longest poll decays with each shorter one: a poll of 20 times the limit is outweighed after about 50 short
///   ones, one of 2,000 times after about 120. Without the decay a single poll that the operating system
///   interrupted would end the running in place for good.
///
/// The value is read and written without a lock and without a compare-and-swap loop. Two polls that
/// end at the same moment may lose one of the two measurements, which later polls make up for.
#[derive(Debug)]
pub(crate) struct PollCost {
    longest_ns: AtomicU64,
}

impl PollCost {
    /// Starts unproven.
    pub(crate) fn new() -> Self {
        Self {
            longest_ns: AtomicU64::new(UNPROVEN),
        }
    }

    /// Returns whether the next handler may run in place.
    pub(crate) fn is_short(&self) -> bool {
        u128::from(self.longest_ns.load(Ordering::Relaxed))
            < (SLOWNESS * MAX_INLINE_POLL).as_nanos()
    }

    /// Takes one first poll into account.
    pub(crate) fn record(&self, poll: Duration) {
        let poll = u64::try_from(poll.as_nanos()).unwrap_or(u64::MAX);
        let longest = self.longest_ns.load(Ordering::Relaxed);
        let decayed = match longest {
            UNPROVEN => 0,
            longest => longest - longest / DECAY_DIVISOR,
        };
        let next = poll.max(decayed);
        // Most polls change nothing. Not writing then leaves the cache line shared between the cores.
        if next != longest {
            self.longest_ns.store(next, Ordering::Relaxed);
        }
    }

    /// Returns the longest recent poll; `None` if no poll was recorded.
    #[cfg(test)]
    pub(super) fn longest(&self) -> Option<Duration> {
        match self.longest_ns.load(Ordering::Relaxed) {
            UNPROVEN => None,
            longest => Some(Duration::from_nanos(longest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_must_prove_that_it_is_short() {
        let cost = PollCost::new();
        assert!(!cost.is_short());
        cost.record(Duration::from_micros(5));
        assert!(cost.is_short());
    }

    #[test]
    fn one_long_poll_counts_until_short_ones_have_outweighed_it() {
        let cost = PollCost::new();
        cost.record(Duration::from_micros(5));
        cost.record(20 * SLOWNESS * MAX_INLINE_POLL);
        assert!(!cost.is_short());
        let needed = (1..)
            .find(|_| {
                cost.record(Duration::from_micros(5));
                cost.is_short()
            })
            .unwrap();
        assert!((40..60).contains(&needed), "{needed}");
    }

    #[test]
    fn a_method_that_is_long_stays_long() {
        let cost = PollCost::new();
        for _ in 0..1000 {
            cost.record(Duration::from_millis(100));
            assert!(!cost.is_short());
        }
    }
}
