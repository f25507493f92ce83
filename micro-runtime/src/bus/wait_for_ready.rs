//! The wait of messages for the connection, where their sender lets them wait.

use crate::bus::connection::Connection;
use crate::bus::connection_state::ConnectionState;
use crate::bus::outgoing::{Outgoing, PublishError};

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
        let state = states.wait_for(|state| *state != ConnectionState::Disconnected);
        match state.await.as_deref() {
            Ok(ConnectionState::Connected) => Ok(()),
            _ => Err(PublishError::Closed),
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
