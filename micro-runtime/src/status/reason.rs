//! `Reason`: why the runtime itself ended a call, and its name on the wire.

/// Why the runtime itself, and no handler, ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No instance serves the method.
    NoResponders,
    /// The deadline passed.
    Deadline,
    /// Every permit of the server or the method is taken.
    Overloaded,
    /// The connection to NATS was lost while the call was in flight.
    Disconnected,
    /// The server stops.
    ShuttingDown,
    /// The bytes are not the message that the method takes or returns.
    Undecodable,
    /// The message does not fit into one NATS message.
    TooLarge,
    /// A header breaks the rules for metadata.
    BadHeader,
    /// The content type is not one that this peer reads.
    ContentType,
    /// The service has no such method, or does not run its kind.
    NoSuchMethod,
    /// The handler panicked.
    Panicked,
    /// Something else than a service answered.
    NotAService,
    /// The call that this one was made within has ended.
    ParentEnded,
    /// The other end of the stream gave it up.
    Dropped,
    /// The other end of the stream is gone: it does not answer, or nobody is there.
    PeerGone,
    /// A part of the stream was lost on the way.
    FramesLost,
    /// The other end of the stream broke the protocol.
    BadFrame,
    /// The other end of the stream sent more than it was allowed to.
    WindowExceeded,
    /// The bus lives inside one process, and JetStream is needed.
    NoJetStream,
    /// JetStream refused an event, or did not acknowledge it in time.
    NotStored,
}

/// Every reason with its name in `google.rpc.ErrorInfo`.
const REASONS: [(Reason, &str); 20] = [
    (Reason::NoResponders, "NO_RESPONDERS"),
    (Reason::Deadline, "DEADLINE"),
    (Reason::Overloaded, "OVERLOADED"),
    (Reason::Disconnected, "DISCONNECTED"),
    (Reason::ShuttingDown, "SHUTTING_DOWN"),
    (Reason::Undecodable, "UNDECODABLE"),
    (Reason::TooLarge, "TOO_LARGE"),
    (Reason::BadHeader, "BAD_HEADER"),
    (Reason::ContentType, "CONTENT_TYPE"),
    (Reason::NoSuchMethod, "NO_SUCH_METHOD"),
    (Reason::Panicked, "PANICKED"),
    (Reason::NotAService, "NOT_A_SERVICE"),
    (Reason::ParentEnded, "PARENT_ENDED"),
    (Reason::Dropped, "DROPPED"),
    (Reason::PeerGone, "PEER_GONE"),
    (Reason::FramesLost, "FRAMES_LOST"),
    (Reason::BadFrame, "BAD_FRAME"),
    (Reason::WindowExceeded, "WINDOW_EXCEEDED"),
    (Reason::NoJetStream, "NO_JETSTREAM"),
    (Reason::NotStored, "NOT_STORED"),
];

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        REASONS
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.1)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        REASONS.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_by_its_name() {
        for (reason, name) in REASONS {
            assert_eq!(reason.name(), name);
            assert_eq!(Reason::from_name(name), Some(reason));
        }
        assert_eq!(Reason::from_name("TIRED"), None);
    }
}
