//! `Reason`: why the runtime itself ended a call, and its name on the wire.

use crate::status::code::Code;

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

/// Every reason, in the order of the enum, with its name in `google.rpc.ErrorInfo` and its code.
///
/// The names are wire text: a peer branches on them, so a name is never changed.
const REASONS: [(Reason, &str, Code); 20] = [
    (Reason::NoResponders, "NO_RESPONDERS", Code::Unavailable),
    (Reason::Deadline, "DEADLINE", Code::DeadlineExceeded),
    (Reason::Overloaded, "OVERLOADED", Code::ResourceExhausted),
    (Reason::Disconnected, "DISCONNECTED", Code::Unavailable),
    (Reason::ShuttingDown, "SHUTTING_DOWN", Code::Unavailable),
    (Reason::Undecodable, "UNDECODABLE", Code::InvalidArgument),
    (Reason::TooLarge, "TOO_LARGE", Code::ResourceExhausted),
    (Reason::BadHeader, "BAD_HEADER", Code::InvalidArgument),
    (Reason::ContentType, "CONTENT_TYPE", Code::Unimplemented),
    (Reason::NoSuchMethod, "NO_SUCH_METHOD", Code::Unimplemented),
    (Reason::Panicked, "PANICKED", Code::Internal),
    (Reason::NotAService, "NOT_A_SERVICE", Code::Internal),
    (Reason::ParentEnded, "PARENT_ENDED", Code::Canceled),
    (Reason::Dropped, "DROPPED", Code::Canceled),
    (Reason::PeerGone, "PEER_GONE", Code::Unavailable),
    (Reason::FramesLost, "FRAMES_LOST", Code::DataLoss),
    (Reason::BadFrame, "BAD_FRAME", Code::Internal),
    (
        Reason::WindowExceeded,
        "WINDOW_EXCEEDED",
        Code::ResourceExhausted,
    ),
    (Reason::NoJetStream, "NO_JETSTREAM", Code::Unimplemented),
    (Reason::NotStored, "NOT_STORED", Code::Unavailable),
];

impl Reason {
    /// Returns the code of a status with this reason.
    ///
    /// Four reasons occur with several codes, and this is the most frequent one: `Undecodable` and
    /// `BadHeader` are `INVALID_ARGUMENT` (the caller's fault), `NotAService` is `INTERNAL` and
    /// `NotStored` is `UNAVAILABLE`. Their other cases take `Reason::status_with`.
    pub(super) fn code(self) -> Code {
        self.row().2
    }

    /// Returns the name of the reason in `google.rpc.ErrorInfo`.
    pub(crate) fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the reason with this name; `None` for a name of a later version.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        REASONS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, Code) {
        &REASONS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_back_by_its_name() {
        for (index, (reason, name, code)) in REASONS.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{name}");
            assert_eq!(reason.name(), name);
            assert_eq!(Reason::from_name(name), Some(reason));
            assert_eq!(reason.code(), code);
        }
        assert_eq!(Reason::from_name("TIRED"), None);
    }
}
