//! A message on its way out, and why it did not leave.

use std::fmt;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::status::{Reason, Status};

/// A message to be published.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) reply: Option<Subject>,
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

    /// How long the message is to NATS.
    pub(super) fn size(&self) -> usize {
        self.payload.len() + self.headers.as_ref().map_or(0, header_length)
    }
}

/// What the headers take on the wire: `NATS/1.0`, one line each, an empty line.
fn header_length(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values
            .iter()
            .map(move |value| name.len() + value.as_str().len() + 4)
    });
    lines.sum::<usize>() + 12
}

/// Why a message did not leave.
pub(crate) enum PublishError {
    /// It is larger than the server takes; `max` bytes are allowed, headers included.
    TooLarge { max: usize },
    /// The connection is closed for good, or the subject is none.
    Failed(async_nats::PublishError),
}

impl PublishError {
    /// Says of what was to be sent why it was not.
    pub(crate) fn into_status(self, what: impl fmt::Display) -> Status {
        match self {
            Self::TooLarge { max } => Reason::TooLarge.status(format!(
                "{what} does not fit into one NATS message of {max} bytes with its headers"
            )),
            Self::Failed(error) => Reason::Disconnected
                .status(format!("{what} could not be sent"))
                .with_source(error),
        }
    }
}
