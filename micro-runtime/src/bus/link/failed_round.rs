//! `FailedRound`: a round of attempts to connect in which no server took the connection.

use crate::bus::link::backoff::ConnectFailure;
use crate::error::Error;

/// A round in which no server took the connection.
pub(super) struct FailedRound {
    /// Error of the most hopeful failure.
    pub(super) error: Error,
    /// Kinds of all failures, which set the time to the next round.
    pub(super) failures: Vec<ConnectFailure>,
}

impl FailedRound {
    /// Returns a round whose one connection was lost at once.
    pub(super) fn refused(error: Error) -> Self {
        Self {
            error,
            failures: vec![ConnectFailure::Refused],
        }
    }
}
