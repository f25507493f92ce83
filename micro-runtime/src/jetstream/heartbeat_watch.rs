//! `HeartbeatWatch`: notices that a consumer which owes events or heartbeats sends nothing.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Interval at which the server sends a heartbeat while a request waits for events. A consumer whose leader was lost
/// shows by its silence alone.
pub(super) const IDLE_HEARTBEAT: Duration = Duration::from_millis(1500);
/// Time without any message after which a consumer is suspected: two heartbeats that did not come.
const SUSPICION_TIMEOUT: Duration = Duration::from_millis(3000);
/// Time for which a suspected consumer is read once more before it counts as lost: what has arrived may not have been
/// read from the socket where this process itself was held up.
const CONFIRMATION_TIME: Duration = Duration::from_millis(500);

/// The time since the last message of one consumer.
///
/// It is asked only where nothing is left to read: a reader that is slow is no silent consumer.
pub(super) struct HeartbeatWatch {
    last_received: Instant,
    is_suspected: bool,
    /// Lags behind `last_received`, so that a message costs no change of a timer.
    timer: Pin<Box<Sleep>>,
}

impl HeartbeatWatch {
    pub(super) fn new() -> Self {
        Self {
            last_received: Instant::now(),
            is_suspected: false,
            timer: Box::pin(sleep(SUSPICION_TIMEOUT)),
        }
    }

    /// Notes a message, or that from now on one is expected.
    pub(super) fn received(&mut self) {
        self.last_received = Instant::now();
        self.is_suspected = false;
    }

    /// Becomes ready once the consumer is silent, and then again each time that the silence lasts as long.
    pub(super) fn poll_silent(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let suspicion = self.last_received + SUSPICION_TIMEOUT;
            let now = Instant::now();
            if suspicion > now {
                self.timer.as_mut().reset(suspicion);
            } else if self.is_suspected {
                self.received();
                return Poll::Ready(());
            } else {
                self.is_suspected = true;
                self.timer.as_mut().reset(now + CONFIRMATION_TIME);
            }
        }
    }
}

#[cfg(test)]
#[path = "heartbeat_watch_tests.rs"]
mod tests;
