//! `Arrival`: when a request came in, and when its turn came.

use std::time::Duration;

use tokio::time::Instant;

/// The times of a request. Its deadline counts from the first, statistics from the second, so that the wait of a burst
/// behind a slow handler is part of both; the cost of a handler counts from the third.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// When it had reached NATS at the latest, as far as that is known; else as `received`.
    pub(super) reached: Instant,
    /// When it was taken off its subscription.
    pub(super) received: Instant,
    /// When its turn came in the loop that reads the subscription.
    pub(super) begun: Instant,
}

impl Arrival {
    /// Returns the times of a request whose turn comes at once.
    pub(super) fn now() -> Self {
        Self::at(Instant::now())
    }

    pub(super) fn at(received: Instant) -> Self {
        Self {
            reached: received,
            received,
            begun: received,
        }
    }

    /// Returns the time since it reached NATS in which the request waited for its turn.
    pub(super) fn waited(self) -> Duration {
        self.begun.saturating_duration_since(self.reached)
    }

    /// Returns the time in which the request waited for its turn here.
    pub(super) fn waited_here(self) -> Duration {
        self.begun.saturating_duration_since(self.received)
    }
}
