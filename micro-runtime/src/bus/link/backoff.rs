//! `ReconnectBackoff`: the time from one round of attempts to connect to the next. Pure.

use std::time::Duration;

/// Time after the first round that fails. Each further one doubles it.
const INITIAL_DELAY: Duration = Duration::from_millis(20);
/// Maximum while connections are refused: nothing listens, as during a restart, and an attempt costs nothing.
const MAX_DELAY_REFUSED: Duration = Duration::from_millis(400);
/// Maximum while the login is refused, in maxima of the option. Each attempt is a line in the log of NATS, and only an
/// operator can help.
const LOGIN_FACTOR: u32 = 5;
/// Minimum while the login is refused.
const MIN_DELAY_LOGIN: Duration = Duration::from_millis(200);

/// Kind of a failed attempt, which sets how soon the next one makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConnectFailure {
    /// The host is there, and nothing listens, or the server ended the connection.
    Refused,
    /// Nothing replied in time, the name cannot be resolved, TLS failed.
    Away,
    /// The login was refused.
    Login,
}

/// Delays between rounds, from one connection to the next.
#[derive(Debug, Default)]
pub(super) struct ReconnectBackoff {
    rounds: u32,
}

impl ReconnectBackoff {
    /// Returns the delay after a round in which every server failed: `failures` has one for each. The most hopeful of
    /// them sets it, less up to a half at random, so that a thousand clients of a server do not come at one moment.
    /// `max` is the maximum while servers do not reply, or cannot be resolved.
    pub(super) fn next_delay(
        &mut self,
        failures: impl IntoIterator<Item = ConnectFailure>,
        max: Duration,
    ) -> Duration {
        let (min, max) = match failures.into_iter().min() {
            Some(ConnectFailure::Login) => (MIN_DELAY_LOGIN, max.saturating_mul(LOGIN_FACTOR)),
            Some(ConnectFailure::Refused) => (INITIAL_DELAY, max.min(MAX_DELAY_REFUSED)),
            Some(ConnectFailure::Away) | None => (INITIAL_DELAY, max),
        };
        let doublings = self.rounds.min(16);
        self.rounds += 1;
        let delay = (INITIAL_DELAY * 2_u32.pow(doublings)).max(min).min(max);
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Begins anew, after a connection that lasted.
    pub(super) fn reset(&mut self) {
        self.rounds = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(2);

    fn delays(failures: &[ConnectFailure]) -> Vec<Duration> {
        let mut backoff = ReconnectBackoff::default();
        (0..1000)
            .map(|_| backoff.next_delay(failures.iter().copied(), MAX))
            .collect()
    }

    #[test]
    fn delays_grow_to_the_maximum_of_the_most_hopeful_failure() {
        use ConnectFailure::{Away, Login, Refused};
        for (failures, max) in [
            (&[Refused][..], MAX_DELAY_REFUSED),
            (&[Away], MAX),
            (&[Login], MAX * 5),
            (&[Away, Refused], MAX_DELAY_REFUSED),
            (&[Login, Away], MAX),
            (&[], MAX),
        ] {
            let delays = delays(failures);
            assert!(delays.iter().all(|delay| *delay <= max), "{failures:?}");
            assert!(delays.last().unwrap() >= &(max / 2), "{failures:?}");
            assert!(delays[0] >= INITIAL_DELAY / 2, "{failures:?}");
        }
        assert!(delays(&[Login])[0] >= MIN_DELAY_LOGIN / 2);
        assert!(delays(&[Refused])[0] <= INITIAL_DELAY);
    }

    #[test]
    fn a_connection_that_lasted_begins_anew() {
        let mut backoff = ReconnectBackoff::default();
        for _ in 0..10 {
            backoff.next_delay([ConnectFailure::Refused], MAX);
        }
        backoff.reset();
        assert!(backoff.next_delay([ConnectFailure::Refused], MAX) <= INITIAL_DELAY);
    }
}
