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
