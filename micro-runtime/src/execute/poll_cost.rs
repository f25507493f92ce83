//! `PollCost`: how long the handlers of one method hold a thread, and so whether to run the next in place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A method whose polls are shorter is run in place: spawning would cost about as much.
const SHORT: Duration = Duration::from_micros(50);
/// What one long poll weighs fades by this fraction with each poll after it.
const FADING: u64 = 16;

/// The longest recent first poll of one method's handlers.
///
/// A method is unproven at first, and a long poll makes it so again, until about fifty short ones
/// have followed a poll of a millisecond. While it is unproven its calls are spawned, and timed
/// there, so that no trial holds up the calls behind it.
#[derive(Debug)]
pub(crate) struct PollCost {
    longest_ns: AtomicU64,
}

impl PollCost {
    pub(crate) fn new() -> Self {
        Self {
            longest_ns: AtomicU64::new(u64::MAX),
        }
    }

    /// Says whether the next call may run in place.
    pub(crate) fn is_short(&self) -> bool {
        u128::from(self.longest_ns.load(Ordering::Relaxed)) < SHORT.as_nanos()
    }

    /// Takes note of one poll.
    pub(crate) fn record(&self, poll: Duration) {
        let poll = u64::try_from(poll.as_nanos()).unwrap_or(u64::MAX);
        let longest = self.longest_ns.load(Ordering::Relaxed);
        let faded = match longest {
            u64::MAX => 0,
            longest => longest - longest / FADING,
        };
        let next = poll.max(faded);
        if next != longest {
            self.longest_ns.store(next, Ordering::Relaxed);
        }
    }
}

/// So many polls are timed together.
const TIMED_TOGETHER: u32 = 8;

/// Times what runs in place, several at a time: a look at the clock costs as much as a short handler.
#[derive(Debug, Default)]
pub(crate) struct PollTimer {
    since: Option<Instant>,
    polls: u32,
}

impl PollTimer {
    pub(crate) fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub(crate) fn count(&mut self, pace: &PollCost) {
        self.polls += 1;
        if self.polls >= TIMED_TOGETHER {
            self.stop(pace);
        }
    }

    /// To be called before anything else takes time.
    pub(crate) fn stop(&mut self, pace: &PollCost) {
        if let Some(since) = self.since.take() {
            pace.record(since.elapsed() / self.polls.max(1));
            self.polls = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_must_prove_that_it_is_short() {
        let pace = PollCost::new();
        assert!(!pace.is_short());
        pace.record(Duration::from_micros(5));
        assert!(pace.is_short());
    }

    #[test]
    fn one_long_poll_counts_until_short_ones_have_outweighed_it() {
        let pace = PollCost::new();
        pace.record(Duration::from_micros(5));
        pace.record(Duration::from_millis(1));
        assert!(!pace.is_short());
        let needed = (1..)
            .find(|_| {
                pace.record(Duration::from_micros(5));
                pace.is_short()
            })
            .unwrap();
        assert!((40..60).contains(&needed), "{needed}");
    }

    #[test]
    fn a_method_that_is_long_stays_long() {
        let pace = PollCost::new();
        for _ in 0..1000 {
            pace.record(Duration::from_millis(100));
            assert!(!pace.is_short());
        }
    }
}
