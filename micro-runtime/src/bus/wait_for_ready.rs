//! The wait of messages for the connection, where their sender lets them wait.

use std::time::Duration;

use crate::bus::connection::{Carrier, Connection};
use crate::bus::connection_state::ConnectionState;
use crate::bus::outgoing::{Outgoing, PublishError};

/// Interval at which is looked whether another link has taken over from one that is lost.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

impl Connection {
    /// Returns once there is a connection. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooManyWait`] if 16,384 others wait; [`PublishError::Closed`] if there will be none.
    pub(crate) async fn ready(&self) -> Result<(), PublishError> {
        let Some(_room) = self.waiting.enter() else {
            return Err(PublishError::TooManyWait);
        };
        let mut states = self.states();
        loop {
            let state = states.wait_for(|state| *state != ConnectionState::Disconnected);
            match state.await.as_deref() {
                Ok(ConnectionState::Connected) if !self.is_losing() => return Ok(()),
                Ok(ConnectionState::Connected) => {}
                _ => return Err(PublishError::Closed),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for a time between two attempts, at most until the connection is made anew: what failed without it may
    /// work then. Returns whether it was. Cancel safe.
    #[cfg(feature = "jetstream")]
    pub(crate) async fn pause(&self, time: Duration) -> bool {
        let mut states = self.states();
        let reconnected = async {
            let lost = states.wait_for(|state| *state != ConnectionState::Connected);
            let is_open = lost.await.is_ok();
            let back = states.wait_for(|state| *state == ConnectionState::Connected);
            if !is_open || back.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::time::timeout(time, reconnected).await.is_ok()
    }

    /// Returns whether the link is lost, and the loss is about to show in the state, or the next link is about to take
    /// over from it.
    fn is_losing(&self) -> bool {
        match &self.carrier {
            Carrier::Nats(nats) => {
                let link = nats.current.peek();
                link.as_ref().is_none_or(|link| link.lost().is_cancelled())
            }
            Carrier::InProcess(_) => false,
        }
    }

    /// Publishes once there is a connection, where `waits`. Cancel safe: nothing is sent if the future is dropped while
    /// it waits.
    pub(crate) async fn publish_when_ready(
        &self,
        outgoing: Outgoing,
        waits: bool,
    ) -> Result<(), PublishError> {
        loop {
            match self.publish(outgoing.clone()).await {
                Err(PublishError::Disconnected) if waits => self.ready().await?,
                published => return published,
            }
        }
    }
}

#[cfg(all(test, feature = "jetstream", feature = "__testkit"))]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::bus::Bus;

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_when_the_connection_is_back() {
        const SECOND: Duration = Duration::from_secs(1);
        let (bus, faults) = Bus::in_process_with_faults(1);
        let connection = Arc::clone(bus.calling());
        for is_lost_before in [false, true] {
            assert!(!connection.pause(SECOND).await);
            if is_lost_before {
                faults.disconnect();
            }
            let begun = Instant::now();
            let reconnecting = async {
                tokio::time::sleep(SECOND).await; // sleep: the connection is away
                faults.disconnect();
                tokio::time::sleep(SECOND).await; // sleep: the connection is away
                faults.reconnect();
            };
            let (is_back, ()) = tokio::join!(connection.pause(SECOND * 3600), reconnecting);
            assert!(is_back);
            assert_eq!(begun.elapsed(), SECOND * 2);
        }
    }
}
