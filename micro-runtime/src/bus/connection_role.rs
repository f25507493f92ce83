//! `ConnectionRole`: what a connection carries where each kind of traffic has one of its own, and `Carries` for
//! options.

/// What a connection carries, of a bus with [separate connections](crate::ConnectOptions::separate_connections).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionRole {
    /// Calls, their streams, queries and events that are published, with the replies to them.
    Calling,
    /// What peers send to a subject: requests, frames, queries, events.
    Serving,
    /// The replies and frames of what this process serves. Next to nothing arrives here.
    Replying,
    /// Deliveries of JetStream, and their acknowledgments and dead letters.
    #[cfg(feature = "jetstream")]
    Consuming,
}

impl ConnectionRole {
    /// Returns the word behind the name of the connection.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Serving => "serving",
            Self::Replying => "replying",
            #[cfg(feature = "jetstream")]
            Self::Consuming => "consuming",
        }
    }
}

/// What the connections that are made with options carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// One carries everything.
    Everything,
    /// Each role has one of its own.
    OneRoleEach,
    /// One of these.
    Only(ConnectionRole),
}

impl Carries {
    /// Returns the name of the role where one is all that is carried.
    pub(super) fn role_name(self) -> Option<&'static str> {
        match self {
            Self::Only(role) => Some(role.name()),
            Self::Everything | Self::OneRoleEach => None,
        }
    }
}
