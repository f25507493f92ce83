//! `Silence`: when a link counts as lost because NATS sends nothing. Pure; the task that watches supplies the time.
//!
//! | what is unconfirmed | limit |
//! |---|---|
//! | something | the silence timeout (2 s), and the time that it takes at 256 KiB/s, 60 s at most |
//! | nothing | two ping intervals (5 s each), and a second |
//!
//! Time is counted in steps, each of which counts no longer than twice its planned length: a process that was stopped,
//! or a runtime that was blocked, has not listened meanwhile, and what NATS has sent is read after it.

use std::time::Duration;

/// Rate in bytes per second that a slow link is expected to carry.
const MIN_RATE: u64 = 256 * 1024;
/// Maximum time that is added for what is unconfirmed.
const MAX_ALLOWANCE: Duration = Duration::from_secs(60);
/// Time that the reply to a PING may take.
const PING_ALLOWANCE: Duration = Duration::from_secs(1);

/// Times of one link.
#[derive(Clone, Copy)]
pub(in crate::bus) struct SilenceLimits {
    pub(in crate::bus) timeout: Duration,
    pub(in crate::bus) ping_interval: Duration,
}

/// The silence of NATS on one link so far.
pub(super) struct Silence {
    limits: SilenceLimits,
    /// Number of bytes that had been received when it was last looked at.
    received: u64,
    lasted: Duration,
}

impl Silence {
    pub(super) fn new(limits: SilenceLimits) -> Self {
        Self {
            limits,
            received: 0,
            lasted: Duration::ZERO,
        }
    }

    /// Notes how many bytes have been received since the link was made, `elapsed` after the last look, which was
    /// planned for `planned` after it.
    pub(super) fn look(&mut self, received: u64, elapsed: Duration, planned: Duration) {
        if std::mem::replace(&mut self.received, received) == received {
            self.lasted += elapsed.min(planned * 2);
        } else {
            self.lasted = Duration::ZERO;
        }
    }

    /// Begins anew: something is unconfirmed since now.
    pub(super) fn restart(&mut self) {
        self.lasted = Duration::ZERO;
    }

    /// Returns whether the link counts as lost.
    pub(super) fn is_over(&self, unconfirmed: u64) -> bool {
        let limit = match unconfirmed {
            0 => self.limits.ping_interval * 2 + PING_ALLOWANCE,
            unconfirmed => self.limits.timeout + allowance(unconfirmed),
        };
        self.lasted >= limit
    }
}

/// Returns the time that so many bytes take on a slow link.
pub(super) fn allowance(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / MIN_RATE as f64).min(MAX_ALLOWANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);

    fn silence() -> Silence {
        Silence::new(SilenceLimits {
            timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(5),
        })
    }

    /// Returns the time after which a link with so many unconfirmed bytes counts as lost.
    fn time_to_loss(unconfirmed: u64) -> Duration {
        let mut silence = silence();
        let mut time = Duration::ZERO;
        while !silence.is_over(unconfirmed) {
            silence.look(0, STEP, STEP);
            time += STEP;
        }
        time
    }

    #[test]
    fn the_limit_depends_on_what_is_unconfirmed() {
        assert_eq!(time_to_loss(0), Duration::from_secs(11));
        assert_eq!(time_to_loss(1).as_secs(), 2);
        assert_eq!(time_to_loss(4 * 1024 * 1024), Duration::from_secs(18));
        assert_eq!(time_to_loss(1 << 40), Duration::from_secs(62));
    }

    #[test]
    fn every_byte_ends_the_silence() {
        let mut silence = silence();
        for received in 0..1000 {
            for _ in 0..39 {
                silence.look(received, STEP, STEP);
            }
            assert!(!silence.is_over(1), "{received}");
            silence.look(received + 1, STEP, STEP);
        }
    }

    #[test]
    fn a_process_that_was_stopped_has_not_listened() {
        let mut silence = silence();
        silence.look(0, Duration::from_secs(20), STEP);
        assert!(!silence.is_over(1));
    }
}
