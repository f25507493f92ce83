//! `ConnectionStates`: the changes of the connection of a bus.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::WatchStream;

use crate::bus::bus::Bus;
use crate::bus::connection_state::ConnectionState;

/// Changes of the connection of a bus, from [`Bus::states`].
///
/// The first item is the present state. States that follow each other faster than they are read are left out, but for
/// the last one. Ends behind [`ConnectionState::Closed`].
pub struct ConnectionStates {
    /// Changes of each connection, and its last one.
    connections: Vec<(WatchStream<ConnectionState>, ConnectionState)>,
    /// Last item; `None` before the first.
    last: Option<ConnectionState>,
}

impl ConnectionStates {
    /// Returns the next state; `None` once the connection is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<ConnectionState> {
        StreamExt::next(self).await
    }
}

impl Stream for ConnectionStates {
    type Item = ConnectionState;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConnectionState>> {
        if self.last == Some(ConnectionState::Closed) {
            return Poll::Ready(None);
        }
        let mut is_back = false;
        for (states, last) in &mut self.connections {
            while *last != ConnectionState::Closed
                && let Poll::Ready(state) = states.poll_next_unpin(cx)
            {
                // Without a sender nothing uses the connection any more.
                *last = state.unwrap_or(ConnectionState::Closed);
                is_back |= *last == ConnectionState::Connected;
            }
        }
        let state = ConnectionState::of_all(self.connections.iter().map(|(_, last)| *last));
        // One that was away for a moment shows by being connected again.
        let is_new = self.last != Some(state) || (is_back && state == ConnectionState::Connected);
        if !is_new {
            return Poll::Pending;
        }
        self.last = Some(state);
        Poll::Ready(Some(state))
    }
}

impl fmt::Debug for ConnectionStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionStates").finish_non_exhaustive()
    }
}

impl Bus {
    /// Returns whether the bus is connected now: with
    /// [separate connections](crate::ConnectOptions::separate_connections), whether each is.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Bus, ConnectionState};
    ///
    /// assert_eq!(Bus::in_process().state(), ConnectionState::Connected);
    /// ```
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.connections().state()
    }

    /// Returns the changes of the connection, the present state first; for the readiness of a program, or to do
    /// something after each reconnect.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Bus, ConnectionState};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let bus = Bus::in_process();
    /// let mut states = bus.states();
    /// assert_eq!(states.next().await, Some(ConnectionState::Connected));
    /// # });
    /// ```
    #[must_use]
    pub fn states(&self) -> ConnectionStates {
        let connections = self.connections().each();
        let connections = connections.map(|one| (WatchStream::new(one.states()), one.state()));
        ConnectionStates {
            connections: connections.collect(),
            last: None,
        }
    }
}
