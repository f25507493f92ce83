//! `CallLimit`: which of the limits of concurrent calls.

/// A limit that a call counts for, the widest first; see [`Permit`](crate::dispatch::permit::Permit).
#[derive(Clone, Copy, Debug)]
pub(super) enum CallLimit {
    Server,
    Service,
    Method,
    /// Of the server; counts streams only.
    Streams,
    /// The share that one caller has of [`Streams`](Self::Streams).
    StreamsOfCaller,
}

impl CallLimit {
    pub(super) const ALL: [Self; 5] = [
        Self::Server,
        Self::Service,
        Self::Method,
        Self::Streams,
        Self::StreamsOfCaller,
    ];

    /// Returns what the limit is of, for a call of this method.
    pub(super) fn owner(self, method: &str) -> &str {
        match self {
            Self::Server => "the server",
            Self::Service => method
                .rsplit_once('.')
                .map_or(method, |(service, _)| service),
            Self::Method => method,
            Self::Streams => "the server's streams",
            Self::StreamsOfCaller => "this caller's share of the server's streams",
        }
    }

    /// Returns the option that sets the limit.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Server => "Server::max_concurrent",
            Self::Service => "ServiceOptions::max_concurrent",
            Self::Method => "max_concurrent of the method",
            Self::Streams | Self::StreamsOfCaller => "Server::max_streams",
        }
    }
}
