//! `Reason`: why the runtime itself ended a call, with the code and the name on the wire that belong to it.
//!
//! Handlers and the runtime use the same codes: `UNAVAILABLE` may be the word of a handler about its database, or the
//! runtime's about an instance that is gone. A caller that repeats calls or switches to another instance needs to
//! know which (docs/PROTOCOL.md, FAIL-8); so the runtime marks its own failures with a reason, and
//! removes that mark from the failures that handlers return.

use crate::status::code::Code;

/// Cause for which the runtime, and not a handler, ended a call; see [`Status::reason`](crate::Status::reason).
///
/// It travels as the first detail of the failure, an `ErrorInfo` of the domain `micro.v1`. A peer of a later version
/// may send one that this version does not have; it is read as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No instance serves the method: NATS found no subscriber for the request. The request reached no handler.
    NoResponders,
    /// The deadline passed, at the caller or at the server.
    Deadline,
    /// A limit of concurrent calls is reached, of the server, the service or the method. No handler ran.
    Overloaded,
    /// The connection to NATS was lost while the call was in flight; the handler may have run.
    Disconnected,
    /// The server is stopping.
    ShuttingDown,
    /// A payload is not the message that the method takes or returns.
    Undecodable,
    /// A message, its headers or its trailers exceed the maximum size.
    TooLarge,
    /// A header breaks the rules for metadata, or has a value that the protocol does not allow.
    BadHeader,
    /// The peer does not read payloads of this content type.
    ContentType,
    /// The service has no such method, or cannot call it in this way.
    NoSuchMethod,
    /// The handler panicked. The text of the panic is in the server's log.
    Panicked,
    /// The reply is not a service's: a JetStream stream captures the call subject and acknowledged the request, or
    /// NATS itself replied with a status other than 503.
    NotAService,
    /// The call that this one is a part of has ended.
    ParentEnded,
    /// The peer gave the stream up.
    Dropped,
    /// The peer of the stream is gone: it sends no frames any more, or NATS finds no subscriber.
    PeerGone,
    /// Frames of the stream were lost.
    FramesLost,
    /// The peer of the stream broke the protocol.
    BadFrame,
    /// The peer of the stream sent more than the flow-control window allows.
    WindowExceeded,
    /// The operation needs JetStream, which a bus inside one process does not have.
    NoJetStream,
    /// JetStream rejected an event, did not acknowledge it in time, or could not read it back.
    NotStored,
    /// The peer speaks another version of the wire; the text states both and which side to upgrade. Where the peer was
    /// known before, nothing was sent; a stream was refused before its handler ran; and a reply that an instance of
    /// another version offers in parts was not read, though its handler has run.
    WireVersion,
    /// NATS does not let this user publish or subscribe to a subject that the operation needs. The code is
    /// `RESOURCE_EXHAUSTED` where the limit of subscriptions is reached.
    ///
    /// A subject is remembered for 1.0 s, in which calls to it fail without being sent, also where a reload has allowed
    /// it. A refused inbox is subscribed to again once a second while calls fail for it.
    NotPermitted,
    /// Stored events were removed before a replay could read them; the text names their sequences.
    EventsLost,
}

/// Every reason, in the order of the enum, with its name in `google.rpc.ErrorInfo` and its code.
///
/// The names are wire text: peers branch on them, so a name is never changed.
const REASONS: [(Reason, &str, Code); 23] = [
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
    (Reason::WireVersion, "WIRE_VERSION", Code::Unimplemented),
    (
        Reason::NotPermitted,
        "NOT_PERMITTED",
        Code::PermissionDenied,
    ),
    (Reason::EventsLost, "EVENTS_LOST", Code::DataLoss),
];

impl Reason {
    /// Returns the code of a status with this reason.
    ///
    /// Five reasons occur with several codes, and this is the most frequent one: `Undecodable` and
    /// `BadHeader` are `INVALID_ARGUMENT` (the caller's fault), `NotAService` is `INTERNAL`, `NotStored` is
    /// `UNAVAILABLE` and `NotPermitted` is `PERMISSION_DENIED`. Their other cases take `Reason::status_with`.
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
    fn every_reason_is_in_the_protocol() {
        let page = include_str!("../../../docs/PROTOCOL.md");
        let is_row = |line: &&str| line.starts_with("| `");
        let rows: Vec<&str> = page.lines().filter(is_row).collect();
        for (_, name, code) in REASONS {
            let (name, code) = (format!("`{name}`"), format!("`{}`", code.name()));
            let mut found = rows.iter().filter(|row| row.contains(&name));
            assert!(found.any(|row| row.contains(&code)), "{name} is {code}");
        }
    }

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
