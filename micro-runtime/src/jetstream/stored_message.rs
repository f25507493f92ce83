//! `StoredMessage`: a message of a stream as JetStream's API shows it, and whether async-nats could parse its delivery.

use std::str::FromStr as _;

use async_nats::jetstream::stream::RawMessage;
use async_nats::{HeaderName, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// First line of a header block, which a status may follow.
const VERSION: &str = "NATS/1.0";

/// A message of a stream, read by `STREAM.MSG.GET`: that reply is JSON with headers in base64, so that no header can
/// cost the connection that it comes on.
pub(super) struct StoredMessage {
    /// Sequence in the stream.
    pub(super) sequence: u64,
    /// Where the subject is not UTF-8, with U+FFFD in its place.
    pub(super) subject: String,
    /// Nanoseconds from 1970 to its storing.
    pub(super) stored_ns: u64,
    /// Header block in base64; empty without headers.
    pub(super) headers: String,
    /// Payload in base64.
    payload: String,
}

/// The form of async-nats, without its times and with no need for an `Option`.
impl From<RawMessage> for StoredMessage {
    fn from(message: RawMessage) -> Self {
        Self {
            sequence: message.sequence,
            subject: message.subject,
            stored_ns: u64::try_from(message.time.unix_timestamp_nanos()).unwrap_or_default(),
            headers: message.headers.unwrap_or_default(),
            payload: message.payload,
        }
    }
}

impl StoredMessage {
    /// Returns the payload; empty if the reply of NATS is malformed.
    pub(super) fn payload(&self) -> Bytes {
        BASE64.decode(&self.payload).unwrap_or_default().into()
    }

    /// Returns why async-nats cannot parse the message when it is delivered; `None` if it can. The subject is UTF-8 if
    /// this is asked: [`Api::flaw`](crate::jetstream::api::Api::flaw) makes sure of that.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let has_headers = !self.headers.is_empty();
        // It reads the fields in front of the headers by white space of any kind; at the end of a subject that is lost.
        if has_headers && self.subject.split_whitespace().count() != 1 {
            return Some("its headers cannot be read: its subject has white space");
        }
        // Headers that cannot be looked at are not known to have one.
        let headers = BASE64.decode(&self.headers).ok()?;
        headers_flaw(&headers).filter(|_| has_headers)
    }
}

/// Returns why async-nats cannot parse a header block.
///
/// It reads as async-nats does, line by line: a stricter reading would give events up that arrive, and one that is less
/// strict would leave an event that costs the connection for ever. So
///
/// - everything must be UTF-8, names are checked by `HeaderName`, and values may have anything but a carriage return
///   within them, at which it panics;
/// - a status behind the version must be a number of three digits, though nats-server removes it when it stores;
/// - empty lines are passed over, wherever they are;
/// - a line that begins with white space goes on with the value before it.
fn headers_flaw(headers: &[u8]) -> Option<&'static str> {
    let Ok(headers) = str::from_utf8(headers) else {
        return Some("its headers cannot be read: they are not UTF-8");
    };
    let mut lines = headers.lines().peekable();
    let Some(status) = lines.next().and_then(|line| line.strip_prefix(VERSION)) else {
        return Some("its headers cannot be read: they do not begin with `NATS/1.0`");
    };
    let status = status.trim().split(' ').next().unwrap_or_default().trim();
    if !status.is_empty() && StatusCode::from_str(status).is_err() {
        return Some("its headers cannot be read: their status is none of NATS");
    }
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Some("its headers cannot be read: a line has no colon");
        };
        if HeaderName::from_str(name).is_err() {
            return Some("its headers cannot be read: a name is malformed");
        }
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        if value.trim_end().contains('\r') {
            return Some("its headers cannot be read: a value has a carriage return");
        }
    }
    None
}

#[cfg(test)]
#[path = "stored_message_tests.rs"]
mod tests;
