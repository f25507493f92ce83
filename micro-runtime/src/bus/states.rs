//! `ConnectionStates`: the changes of the connection of a bus.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::WatchStream;

use crate::bus::bus::Bus;
use crate::bus::connection_state::ConnectionState;

/// Changes of the connection of a bus, from [`Bus::states`].
///
/// The first item is the present state. States that follow each other faster than they are read are left out, but for
/// the last one. Ends behind [`ConnectionState::Closed`].
pub struct ConnectionStates {
    states: WatchStream<ConnectionState>,
    has_ended: bool,
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
        if self.has_ended {
            return Poll::Ready(None);
        }
        let state = ready!(self.states.poll_next_unpin(cx));
        self.has_ended = matches!(state, None | Some(ConnectionState::Closed));
        Poll::Ready(state)
    }
}

impl fmt::Debug for ConnectionStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionStates").finish_non_exhaustive()
    }
}

impl Bus {
    /// Returns whether the bus is connected now.
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
        *self.connection().states().borrow()
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
        ConnectionStates {
            states: WatchStream::new(self.connection().states()),
            has_ended: false,
        }
    }
}
