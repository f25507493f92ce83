//! `ReceivedReply`: the reply to a call, as it waits in its slot and goes to its caller.

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;

/// The reply to a call.
///
/// Nearly all are a payload without headers, of which nothing else is kept: a whole message is six times as large, and
/// would be copied with each of the results that it goes through on its way to the caller.
#[derive(Debug)]
pub(crate) enum ReceivedReply {
    /// A payload without headers.
    Plain(Bytes),
    /// A message with headers, or one of NATS itself, which has a status.
    Message(Box<Message>),
}

impl ReceivedReply {
    /// Returns a reply that was put together here.
    pub(crate) fn new(headers: Option<HeaderMap>, payload: Bytes) -> Self {
        Self::from(Message {
            subject: Subject::from_static(""),
            reply: None,
            length: payload.len(),
            payload,
            headers,
            status: None,
            description: None,
        })
    }

    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        match self {
            Self::Plain(_) => None,
            Self::Message(message) => message.headers.as_ref(),
        }
    }

    pub(crate) fn payload(&self) -> &Bytes {
        match self {
            Self::Plain(payload) => payload,
            Self::Message(message) => &message.payload,
        }
    }

    pub(crate) fn into_payload(self) -> Bytes {
        match self {
            Self::Plain(payload) => payload,
            Self::Message(message) => message.payload,
        }
    }

    /// Returns whether this is NATS's own reply to a message that had no receiver.
    pub(crate) fn is_no_responders(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Message(message) => message.status == Some(async_nats::StatusCode::NO_RESPONDERS),
        }
    }
}

impl From<Message> for ReceivedReply {
    #[inline]
    fn from(message: Message) -> Self {
        match message {
            Message {
                headers: None,
                status: None,
                payload,
                ..
            } => Self::Plain(payload),
            message => Self::Message(Box::new(message)),
        }
    }
}
