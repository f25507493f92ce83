//! `CallKind`: the kinds of unary calls of the load, and `Mix`, how many callers make each.

use std::time::Duration;

/// Kind of a unary call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallKind {
    /// Fails at once without a connection.
    Plain,
    /// As plain, with a request of 16 KiB.
    Large,
    /// Waits for the connection.
    Waiting,
    /// Must not begin after its deadline.
    Expiring,
    /// Its handler takes 2 to 3 s.
    Long,
}

/// Number of callers of each kind.
pub(crate) type Mix = &'static [(CallKind, usize)];

impl CallKind {
    pub(crate) fn timeout(self) -> Duration {
        match self {
            Self::Plain | Self::Large | Self::Expiring => Duration::from_secs(1),
            Self::Waiting => Duration::from_secs(5),
            Self::Long => Duration::from_secs(20),
        }
    }

    /// Length of the request in bytes.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Large => 16 * 1024,
            Self::Plain | Self::Waiting | Self::Expiring | Self::Long => 32,
        }
    }

    /// Time that the handler takes for a call with this number.
    pub(crate) fn handler_time(self, number: u64) -> Duration {
        match self {
            Self::Long => Duration::from_millis(2_000 + number % 9 * 125),
            _ => Duration::from_micros(number % 7 * 500),
        }
    }

    /// Time from the end of a call to the next one of the same caller.
    pub(crate) fn pause(self) -> Duration {
        match self {
            Self::Large => Duration::from_millis(500),
            Self::Plain | Self::Waiting | Self::Expiring | Self::Long => Duration::from_millis(20),
        }
    }
}
