//! `ConnectionState`: whether a bus is connected.

/// State of the connection of a bus.
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
