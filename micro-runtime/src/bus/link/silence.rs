//! `Silence`: when a link counts as lost because NATS sends nothing, or confirms nothing. Pure; the task that watches
//! supplies the time.
//!
//! | state | limit |
//! |---|---|
//! | nothing is unconfirmed | without a byte: two ping intervals (5 s each), and a second |
//! | something is | without a confirmation: the silence timeout (2 s), and an allowance for a slow link |
//!
//! A confirmation has to wait for two things: NATS must read what was unconfirmed when the silence began, and send what
//! waited for this client already. The allowance is the time that the first and what has arrived since take at 256
//! KiB/s, 60 s at most. What is sent later holds up nothing. Where less than 256 KiB/s arrive, it is not that which
//! holds the confirmation up: one direction is dead, and the other one alive.
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

/// Numbers of bytes of one link.
#[derive(Clone, Copy, Default)]
pub(super) struct LinkBytes {
    /// Received since the link was made, and confirmed.
    pub(super) received: u64,
    pub(super) confirmed: u64,
    pub(super) unconfirmed: u64,
}

/// The silence of NATS on one link so far.
pub(super) struct Silence {
    limits: SilenceLimits,
    /// At the last look.
    last: LinkBytes,
    /// Time without a byte.
    silent: Duration,
    /// Time without a confirmation, and the bytes when it began.
    unconfirmed_for: Duration,
    before: LinkBytes,
}

impl Silence {
    pub(super) fn new(limits: SilenceLimits) -> Self {
        Self {
            limits,
            last: LinkBytes::default(),
            silent: Duration::ZERO,
            unconfirmed_for: Duration::ZERO,
            before: LinkBytes::default(),
        }
    }

    /// Notes the bytes of the link, `elapsed` after the last look, which was planned for `planned` after it.
    pub(super) fn look(&mut self, bytes: LinkBytes, elapsed: Duration, planned: Duration) {
        let elapsed = elapsed.min(planned * 2);
        let before = std::mem::replace(&mut self.last, bytes);
        self.silent = match before.received == bytes.received {
            true => self.silent + elapsed,
            false => Duration::ZERO,
        };
        // The first message after idleness, and each confirmation.
        match before.unconfirmed == 0 || before.confirmed != bytes.confirmed {
            true => (self.unconfirmed_for, self.before) = (Duration::ZERO, bytes),
            false => self.unconfirmed_for += elapsed,
        }
    }

    /// Returns whether the link counts as lost.
    pub(super) fn is_over(&self) -> bool {
        let SilenceLimits {
            timeout,
            ping_interval,
        } = self.limits;
        if self.last.unconfirmed == 0 {
            return self.silent >= ping_interval * 2 + PING_ALLOWANCE;
        }
        let received = self.last.received - self.before.received;
        self.unconfirmed_for >= timeout + allowance(self.before.unconfirmed + received)
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

    /// Returns the time after which a link is lost that has so many unconfirmed bytes at first and confirms nothing,
    /// while in each second so many bytes arrive and are sent.
    fn time_to_loss(unconfirmed: u64, received_per_second: u64, sent_per_second: u64) -> Duration {
        let mut silence = silence();
        let mut time = Duration::ZERO;
        loop {
            let in_time = |rate: u64| u64::try_from(time.as_millis()).unwrap() * rate / 1000;
            let bytes = LinkBytes {
                received: in_time(received_per_second),
                confirmed: 0,
                unconfirmed: unconfirmed + in_time(sent_per_second),
            };
            silence.look(bytes, STEP, STEP);
            if silence.is_over() {
                return time;
            }
            time += STEP;
        }
    }

    #[test]
    fn the_limit_depends_on_what_is_unconfirmed_when_it_begins() {
        assert_eq!(time_to_loss(0, 0, 0), Duration::from_secs(11) - STEP);
        assert_eq!(time_to_loss(1, 0, 0).as_millis(), 2_050);
        assert_eq!(time_to_loss(4 * 1024 * 1024, 0, 0), Duration::from_secs(18));
        assert_eq!(time_to_loss(1 << 40, 0, 0), Duration::from_secs(62));
        // What follows is not what holds the confirmation up.
        assert_eq!(time_to_loss(1, 0, 16 * MIN_RATE).as_millis(), 2_050);
    }

    #[test]
    fn what_arrives_hides_a_dead_direction_only_if_it_may_hold_up_the_confirmation() {
        assert_eq!(time_to_loss(1, 64, 0).as_millis(), 2_050);
        assert_eq!(time_to_loss(1, 64 * 1024, 0).as_millis(), 2_700);
        assert_eq!(time_to_loss(1, 128 * 1024, 0).as_millis(), 4_050);
        for rate in [MIN_RATE, 16 * MIN_RATE] {
            assert_eq!(time_to_loss(1, rate, 0), Duration::from_secs(62));
        }
    }

    #[test]
    fn each_confirmation_and_the_first_message_after_idleness_begin_anew() {
        let mut silence = silence();
        for confirmed in 0..1000 {
            let bytes = |unconfirmed| LinkBytes {
                received: confirmed,
                confirmed,
                unconfirmed,
            };
            for _ in 0..39 {
                silence.look(bytes(u64::from(confirmed % 2 == 0)), STEP, STEP);
                assert!(!silence.is_over(), "{confirmed}");
            }
        }
        for _ in 0..100 {
            silence.look(LinkBytes::default(), STEP, STEP);
        }
        let sent = LinkBytes {
            unconfirmed: 1,
            ..LinkBytes::default()
        };
        silence.look(sent, STEP, STEP);
        assert!(!silence.is_over());
    }

    #[test]
    fn a_process_that_was_stopped_has_not_listened() {
        let mut silence = silence();
        let sent = LinkBytes {
            unconfirmed: 1,
            ..LinkBytes::default()
        };
        silence.look(sent, STEP, STEP);
        silence.look(sent, Duration::from_secs(20), STEP);
        assert!(!silence.is_over());
    }
}
