//! `Outgoing`: a message to publish, and the error if it cannot be published.

use std::fmt;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::status::{Reason, Status};

/// Maximum number of messages of one connection that wait for it. Further ones fail at once.
pub(super) const MAX_WAITING: usize = 16_384;

/// One message to publish.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    /// Subject that a reply goes to, or NATS's 503 if the message has no receiver.
    pub(crate) reply: Option<Subject>,
    /// `None` rather than an empty map: a message without headers is another, cheaper command of NATS's
    /// protocol. One header halves the rate of small messages.
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    /// Returns a message without headers and without a reply subject.
    pub(crate) fn to(subject: Subject, payload: Bytes) -> Self {
        Self {
            subject,
            reply: None,
            headers: None,
            payload,
        }
    }

    /// Returns the length of the message in bytes as NATS counts it against `max_payload`: payload and
    /// headers, but not the subjects.
    pub(super) fn size(&self) -> usize {
        self.payload.len() + self.headers.as_ref().map_or(0, header_length)
    }
}

/// Returns the length of headers on the wire in bytes: `NATS/1.0`, one line for each value, an empty line.
fn header_length(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values
            .iter()
            .map(move |value| name.len() + value.as_str().len() + 4)
    });
    lines.sum::<usize>() + 12
}

/// Failure to publish a message. Nothing has been sent.
pub(crate) enum PublishError {
    /// The message exceeds `max` bytes, headers included. Callers treat this one differently from a
    /// failure: a request or reply that does not fit goes in frames (docs/PROTOCOL.md, LARGE-1).
    TooLarge { max: usize },
    /// There is no connection at the moment.
    Disconnected,
    /// So many messages wait for the connection that this one may not.
    TooManyWait,
    /// The connection is closed for good.
    Closed,
    /// The subject is malformed.
    Failed(async_nats::PublishError),
}

impl PublishError {
    /// Converts the error; `what` names the message in the text, as in "the request".
    pub(crate) fn into_status(self, what: impl fmt::Display) -> Status {
        match self {
            Self::TooLarge { max } => Reason::TooLarge.status(format!(
                "{what} does not fit into one NATS message of {max} bytes with its headers: `max_payload` of the nats-server"
            )),
            Self::Disconnected => {
                Reason::Disconnected.status(format!("{what} was not sent: not connected to NATS"))
            }
            Self::TooManyWait => Reason::Disconnected.status(format!(
                "{what} was not sent: not connected to NATS, and {MAX_WAITING} others wait for the connection"
            )),
            Self::Closed => Reason::Disconnected.status(format!(
                "{what} could not be sent: the connection to NATS is closed, as at the end of the tokio runtime in which it was made"
            )),
            Self::Failed(error) => Status::invalid_argument(format!("{what} was not sent: {error}"))
                .with_source(error),
        }
    }
}

/// Returns the error of an operation that needs a connection, while there is none.
pub(crate) fn disconnected() -> Error {
    Error::new(ErrorKind::Connect, "not connected to NATS")
}
