//! Entry points to internal parts for the benchmarks of this repository, behind the feature `__bench`.
//!
//! They are no public interface and may change at any time. Each does the work of one step of a call or a stream,
//! so that the cost of a step can be measured without a connection.

use std::task::{Poll, Waker};
use std::time::Duration;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::bus::{SlotKey, SlotTable};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::{Frame, FrameBody, FrameControl};
use crate::subject;
use crate::wire;
use crate::wire::FrameMark;

/// Reply slots of one connection.
#[derive(Debug)]
pub struct Slots(SlotTable<u64, ()>);

impl Slots {
    #[must_use]
    pub fn new() -> Self {
        Self(SlotTable::new(
            "_INBOX.0123456789ABCDEFGHIJKL",
            rand::make_rng(),
        ))
    }

    /// Reserves `in_flight` slots, delivers a reply to each by its subject, and takes the reply out. Returns the
    /// number of replies, which equals `in_flight`.
    pub fn round_trips(&mut self, in_flight: usize) -> usize {
        let opened: Vec<_> = (0..in_flight)
            .map(|_| self.0.reserve(Subject::from_static("a.B.C")))
            .collect();
        let mut ready = 0;
        for (key, subject) in opened {
            let token = subject.rsplit('.').next().and_then(SlotKey::parse);
            self.0.deliver(token.unwrap_or(key), 7);
            ready += usize::from(matches!(
                self.0.poll(key, Waker::noop(), |_| false),
                Poll::Ready(7)
            ));
        }
        ready
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self::new()
    }
}

/// Encodes the headers of a call with metadata and a timeout of its own.
#[must_use]
pub fn write_headers(metadata: &Metadata, left: Duration) -> Option<HeaderMap> {
    let mut headers = None;
    wire::encode_metadata(&mut headers, metadata);
    wire::encode_timeout(&mut headers, left);
    headers
}

/// Decodes the headers of a request.
///
/// # Errors
///
/// The status with which a server rejects the request.
pub fn read_headers(headers: &HeaderMap) -> Result<(Option<Duration>, Metadata), Status> {
    wire::read_request(Some(headers), Bytes::new())?;
    Ok((
        wire::decode_timeout(headers)?,
        wire::decode_metadata(headers)?,
    ))
}

/// Encodes a failure: its headers and its payload.
#[must_use]
pub fn write_status(status: &Status) -> (HeaderMap, Bytes) {
    wire::encode_status(status)
}

/// Decodes a failure; `None` for the headers of a success.
#[must_use]
pub fn read_status(headers: &HeaderMap, payload: &Bytes) -> Option<Status> {
    wire::read_reply(
        Some(headers),
        payload.clone(),
        wire::PayloadFormat::PROTOBUF,
        "the reply",
    )
    .err()
}

/// Returns whether a subscription to `pattern` receives `subject`.
#[must_use]
pub fn subject_matches(pattern: &str, subject: &str) -> bool {
    subject::matches(pattern, subject)
}

/// Encodes a message as the payload of a request or a reply.
pub fn encode(message: &impl prost::Message) -> Bytes {
    wire::encode(message)
}

/// Writes a frame that holds the message `messages` times.
#[must_use]
pub fn write_frame<M: prost::Message>(messages: usize, message: &M) -> Bytes {
    let mut body = FrameBody::default();
    for _ in 0..messages {
        body.write(message, message.encoded_len());
    }
    body.finish_frame(FrameMark::OfServer, FrameControl::default())
}

/// Checks a frame and reads its messages. Returns their length in bytes, or 0 for an invalid frame.
#[must_use]
pub fn read_frame(frame: Bytes) -> usize {
    let Ok(mut frame) = Frame::read(FrameMark::OfServer, frame) else {
        return 0;
    };
    let mut bytes = 0;
    while let Some(message) = frame.entries.next_bytes() {
        bytes += message.len();
    }
    bytes
}
