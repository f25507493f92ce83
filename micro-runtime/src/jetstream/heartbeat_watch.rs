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
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Waits until the consumer is silent; returns how long that took.
    async fn silence(watch: &mut HeartbeatWatch) -> Duration {
        let begin = Instant::now();
        poll_fn(|cx| watch.poll_silent(cx)).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_consumer_is_silent_once_two_heartbeats_are_missing() {
        let mut watch = HeartbeatWatch::new();
        let timeout = SUSPICION_TIMEOUT + CONFIRMATION_TIME;
        for _ in 0..2 {
            watch.received();
            let silence = silence(&mut watch).await;
            assert!(
                (timeout..timeout + IDLE_HEARTBEAT).contains(&silence),
                "{silence:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_was_held_up_finds_what_has_arrived_first() {
        let mut watch = HeartbeatWatch::new();
        let mut poll = async || poll_fn(|cx| Poll::Ready(watch.poll_silent(cx))).await;
        assert!(poll().await.is_pending());
        tokio::time::advance(10 * SUSPICION_TIMEOUT).await;
        assert!(poll().await.is_pending(), "suspected, and read once more");
        watch.received();
        tokio::time::advance(CONFIRMATION_TIME).await;
        let polled = poll_fn(|cx| Poll::Ready(watch.poll_silent(cx))).await;
        assert!(polled.is_pending(), "a message has come");
    }
}
