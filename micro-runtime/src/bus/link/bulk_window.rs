//! `BulkWindow`: how many bytes of large messages may be on their way to NATS, so that calls do not wait behind them.
//!
//! All messages of a connection leave in one order. On a slow link the data of streams, large replies and large events
//! would fill the way for seconds, and each call would wait behind them. So they wait here, outside of that order, as
//! long as they would make others wait: the window grows while the pulses come back as fast as on an idle link, and
//! shrinks when they take [`MAX_DELAY`] longer, as TCP Vegas does it (Brakmo and Peterson, 1995).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::lock;

/// Length in bytes from which on a message without a reply subject is bulk.
pub(super) const BULK_LEN: usize = 8 * 1024;
/// Minimum of the window in bytes: at 1 MB/s a call waits behind it for 0.13 s.
const MIN_WINDOW: u64 = 128 * 1024;
/// Window at first.
const FIRST_WINDOW: u64 = 256 * 1024;
/// Maximum of the window in bytes: with a round trip of 20 ms, 400 MB/s.
const MAX_WINDOW: u64 = 8 * 1024 * 1024;
/// Time by which a pulse may take longer than on an idle link while the window grows.
const GOOD_DELAY: Duration = Duration::from_millis(50);
/// Time by which it may take longer until the window shrinks.
const MAX_DELAY: Duration = Duration::from_millis(100);

/// The window of one link.
pub(super) struct BulkWindow {
    limit: AtomicU64,
    /// The shortest round trip so far.
    shortest: Mutex<Duration>,
}

impl BulkWindow {
    pub(super) fn new() -> Self {
        Self {
            limit: AtomicU64::new(FIRST_WINDOW),
            shortest: Mutex::new(Duration::MAX),
        }
    }

    /// Returns the number of bytes that may be unconfirmed when a bulk message is sent.
    #[inline]
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Notes that a pulse came back after this time and confirmed so many bytes.
    pub(super) fn note_round_trip(&self, took: Duration, confirmed: u64) {
        let mut shortest = lock(&self.shortest);
        *shortest = took.min(*shortest);
        let delay = took.saturating_sub(*shortest);
        let limit = self.limit();
        let limit = match delay {
            _ if delay <= GOOD_DELAY => limit.saturating_add(confirmed),
            _ if delay > MAX_DELAY => limit / 2,
            _ => limit,
        };
        self.limit
            .store(limit.clamp(MIN_WINDOW, MAX_WINDOW), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends bulk over a link of this rate and idle round trip; returns the longest round trip once it has settled.
    fn longest_settled(bytes_per_ms: u64, idle: Duration) -> (Duration, u64) {
        let window = BulkWindow::new();
        let mut longest = Duration::ZERO;
        window.note_round_trip(idle, 0);
        for round in 0..400 {
            let limit = window.limit();
            let took = idle + Duration::from_micros(1000 * limit / bytes_per_ms);
            window.note_round_trip(took, 64 * 1024);
            if round > 200 {
                longest = longest.max(took);
            }
        }
        (longest, window.limit())
    }

    #[test]
    fn a_slow_link_has_a_short_queue_and_a_fast_one_is_filled() {
        let (longest, limit) = longest_settled(1_000, Duration::from_micros(200));
        assert_eq!(limit, MIN_WINDOW);
        assert!(longest < Duration::from_millis(140), "{longest:?}");
        let (longest, limit) = longest_settled(500_000, Duration::from_micros(200));
        assert_eq!(limit, MAX_WINDOW);
        assert!(longest < Duration::from_millis(20), "{longest:?}");
    }

    #[test]
    fn a_long_way_is_no_queue() {
        let (_, limit) = longest_settled(100_000, Duration::from_millis(150));
        assert!(limit > 4 * 1024 * 1024, "{limit}");
    }

    #[test]
    fn a_link_between_settles_below_the_longest_delay() {
        let (longest, limit) = longest_settled(10_000, Duration::from_millis(20));
        assert!(limit > 2 * MIN_WINDOW, "{limit}");
        assert!(
            longest < Duration::from_millis(20) + 2 * MAX_DELAY,
            "{longest:?}"
        );
    }
}
