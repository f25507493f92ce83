//! `Connections`: the connections of a bus by what they carry, which are one and the same by default.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::bus::connect_options::ConnectOptions;
use crate::bus::connection::Connection;
use crate::bus::connection_counts::ConnectionTotals;
use crate::bus::connection_role::{Carries, ConnectionRole};
use crate::bus::connection_state::ConnectionState;
use crate::bus::server_urls::ServerUrls;
use crate::error::Error;

/// The connections of a bus by what they carry. Whoever makes a client, a server or a consumer takes the one of its
/// role, so that a call looks up none.
///
/// What peers choose the subject of arrives on `serving` alone, what is stored on `consuming`; on `calling` only
/// replies arrive. A message that async-nats cannot parse cuts off the connection that it comes on, and no other.
///
/// What is served goes out on `replying`. async-nats reads all that has arrived before it writes, so that a flood of
/// requests which NATS passes on as fast as it is read would keep all replies back while it lasts.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) calling: Arc<Connection>,
    pub(crate) serving: Arc<Connection>,
    pub(crate) replying: Arc<Connection>,
    #[cfg(feature = "jetstream")]
    pub(crate) consuming: Arc<Connection>,
}

impl Connections {
    /// Returns one connection in all roles.
    pub(super) fn of_one(connection: Connection) -> Self {
        let connection = Arc::new(connection);
        Self {
            serving: Arc::clone(&connection),
            replying: Arc::clone(&connection),
            #[cfg(feature = "jetstream")]
            consuming: Arc::clone(&connection),
            calling: connection,
        }
    }

    /// Makes the connections that the options ask for. The first of several comes alone: where NATS is away or refuses
    /// the login, that shows once.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::connect`].
    pub(super) async fn connect(
        options: ConnectOptions,
        servers: &ServerUrls,
    ) -> Result<Self, Error> {
        if options.carries != Carries::OneRoleEach {
            return Connection::connect(options, servers)
                .await
                .map(Self::of_one);
        }
        // In boxes: four of these large futures side by side would need much of a thread's stack.
        let connect = |role| Box::pin(Connection::connect(options.of_role(role), servers));
        let calling = connect(ConnectionRole::Calling).await?;
        let serving = connect(ConnectionRole::Serving);
        let replying = connect(ConnectionRole::Replying);
        #[cfg(feature = "jetstream")]
        let (serving, replying, consuming) =
            futures_util::try_join!(serving, replying, connect(ConnectionRole::Consuming))?;
        #[cfg(not(feature = "jetstream"))]
        let (serving, replying) = futures_util::try_join!(serving, replying)?;
        Ok(Self {
            calling: Arc::new(calling),
            serving: Arc::new(serving),
            replying: Arc::new(replying),
            #[cfg(feature = "jetstream")]
            consuming: Arc::new(consuming),
        })
    }

    /// Returns each connection once.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Arc<Connection>> {
        let roles = [
            &self.calling,
            &self.serving,
            &self.replying,
            #[cfg(feature = "jetstream")]
            &self.consuming,
        ];
        let count = match self.are_separate() {
            true => roles.len(),
            false => 1,
        };
        roles.into_iter().take(count)
    }

    pub(crate) fn are_separate(&self) -> bool {
        !Arc::ptr_eq(&self.calling, &self.serving)
    }

    /// Makes sure that what this process has called and published before precedes, at NATS, whatever it sends next on
    /// the serving connection: the end of a subscription must not overtake its own messages to it. One connection keeps
    /// that order by itself, several need a round trip. A failure is logged: what the calling connection loses is lost
    /// anyhow.
    pub(crate) async fn precede_serving(&self) {
        if !self.are_separate() {
            self.calling.flush_requests().await;
        } else if let Err(error) = self.calling.flush().await {
            tracing::debug!(%error, "messages of this process to itself may come behind an end of their subscription");
        }
    }

    /// Returns whether no connection is lost.
    pub(crate) fn are_connected(&self) -> bool {
        self.state() == ConnectionState::Connected
    }

    /// Returns the state of all together.
    pub(super) fn state(&self) -> ConnectionState {
        ConnectionState::of_all(self.each().map(|connection| connection.state()))
    }

    /// Returns once NATS has everything that was sent on each connection before; see [`Bus::flush`](crate::Bus::flush).
    ///
    /// # Errors
    ///
    /// Of the first connection that fails; the others are flushed all the same.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let flushed = join_all(self.each().map(|connection| connection.flush())).await;
        flushed.into_iter().collect()
    }

    /// Ends the calls in flight on each connection, before it is closed.
    pub(super) async fn end_calls(&self) {
        join_all(self.each().map(|connection| connection.end_calls())).await;
    }

    /// Returns the counts of all connections.
    pub(crate) fn totals(&self) -> ConnectionTotals {
        let mut totals = ConnectionTotals::default();
        for connection in self.each() {
            connection.mux().counts().add_to(&mut totals);
            totals.reconnects += connection.refusals().reconnect_count();
            totals.refused_events += connection.refusals().refused_events();
        }
        totals
    }

    /// Closes every connection for good.
    pub(super) fn close(&self) {
        self.each().for_each(|connection| connection.close());
    }
}
