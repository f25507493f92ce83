//! `ConnectionState`: whether a bus is connected.

/// State of the connection of a bus.
///
/// A bus with [separate connections](crate::ConnectOptions::separate_connections) is connected while every one of them
/// is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Messages go through.
    Connected,
    /// The connection is lost, and is made anew. Calls and publishes fail at once with
    /// [`Code::Unavailable`](crate::Code::Unavailable), unless they wait for the connection.
    Disconnected,
    /// The connection is closed for good: the tokio runtime in which it was made has ended, or its bus was closed.
    Closed,
}

impl ConnectionState {
    /// Returns the state of several connections together. One that is closed while others are not has no effect: a bus
    /// closes all of them, and one alone is closed only when nothing uses it any more.
    pub(super) fn of_all(states: impl IntoIterator<Item = Self>) -> Self {
        let states = states.into_iter();
        states.fold(Self::Closed, |all, one| match (all, one) {
            (Self::Disconnected, _) | (_, Self::Disconnected) => Self::Disconnected,
            (Self::Closed, Self::Closed) => Self::Closed,
            _ => Self::Connected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_connections_are_connected_while_none_is_lost_and_closed_once_all_are() {
        use ConnectionState::{Closed, Connected, Disconnected};
        for (states, all) in [
            (&[Connected][..], Connected),
            (&[Disconnected], Disconnected),
            (&[Closed], Closed),
            (&[Connected, Connected, Connected], Connected),
            (&[Connected, Disconnected, Connected], Disconnected),
            (&[Disconnected, Connected, Closed], Disconnected),
            (&[Closed, Connected, Closed], Connected),
            (&[Closed, Closed, Closed], Closed),
        ] {
            assert_eq!(
                ConnectionState::of_all(states.iter().copied()),
                all,
                "{states:?}"
            );
        }
    }
}
