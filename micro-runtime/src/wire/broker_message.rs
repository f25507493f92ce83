//! `BrokerMessage`: a message that NATS itself has made, and no peer. Pure.

use std::fmt;

use async_nats::{Message, StatusCode};

use crate::printable::Printable;
use crate::status::{Reason, Status};
use crate::wire::header::delete_marker;

/// A message that NATS itself has made. It is no request and no event, whatever its subject is: an empty payload would
/// decode as a message of defaults.
///
/// NATS sends 503 to the reply subject of any message without subscribers, and the heartbeats of a push consumer to its
/// delivery subject. Any client may choose these subjects.
#[derive(Debug)]
pub(crate) enum BrokerMessage<'a> {
    /// A status, such as `503` and `100 Idle Heartbeat`.
    Status(StatusCode, &'a str),
    /// A delete marker of JetStream, with its cause, such as `MaxAge`.
    DeleteMarker(&'a str),
}

impl<'a> BrokerMessage<'a> {
    /// Returns what NATS has made this message for; `None` for a message of a peer.
    #[inline]
    pub(crate) fn of(message: &'a Message) -> Option<Self> {
        if let Some(status) = message.status {
            let text = message.description.as_deref().unwrap_or_default();
            return Some(Self::Status(status, text));
        }
        delete_marker(message.headers.as_ref()).map(Self::DeleteMarker)
    }

    /// Returns the failure of an event in whose place the message came.
    #[cold]
    pub(crate) fn into_event_failure(self) -> Status {
        Reason::Undecodable.status(format!("a message of NATS itself is no event: {self}"))
    }
}

impl fmt::Display for BrokerMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, "") => write!(f, "status {}", status.as_u16()),
            Self::Status(status, text) => {
                write!(f, "status {} {}", status.as_u16(), Printable(text))
            }
            Self::DeleteMarker(reason) => write!(f, "delete marker, {}", Printable(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_status_and_a_marker_are_of_nats_and_other_messages_are_not() {
        let made = |status: Option<(u16, &str)>, header: Option<(&str, &str)>| {
            let status = status.map(|(number, text)| (StatusCode::from_u16(number).unwrap(), text));
            let message = Message {
                subject: "a.b".into(),
                reply: None,
                payload: Bytes::new(),
                headers: header.map(|(name, value)| {
                    let mut headers = HeaderMap::new();
                    headers.insert(name, value);
                    headers
                }),
                status: status.map(|(status, _)| status),
                description: status.map(|(_, text)| text.to_owned()),
                length: 0,
            };
            BrokerMessage::of(&message).map(|made| made.to_string())
        };
        for (status, header, expected) in [
            (None, None, None),
            (None, Some(("Nats-Msg-Id", "1")), None),
            (Some((503, "")), None, Some("status 503")),
            (
                Some((100, "Idle Heartbeat")),
                None,
                Some("status 100 Idle Heartbeat"),
            ),
            (Some((100, "a\u{7}")), None, Some("status 100 a\\u{7}")),
            (
                None,
                Some(("Nats-Marker-Reason", "MaxAge")),
                Some("delete marker, MaxAge"),
            ),
            (
                None,
                Some(("nats-marker-reason", "Purge")),
                Some("delete marker, Purge"),
            ),
        ] {
            assert_eq!(made(status, header).as_deref(), expected);
        }
    }
}
