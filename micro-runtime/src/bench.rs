//! Doors for the benchmarks of parts that nobody else can reach. Not an interface: the feature
//! `__bench` may change or go at any time.

use std::task::{Poll, Waker};
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::bus::{SlotKey, SlotTable};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::{Frame, FrameBody, FrameControl};
use crate::subject;
use crate::wire;

/// The reply slots of a connection.
#[derive(Debug)]
pub struct Slots(SlotTable<u64, ()>);

impl Slots {
    #[must_use]
    pub fn new() -> Self {
        Self(SlotTable::new("_INBOX.0123456789ABCDEFGHIJKL"))
    }

    /// Opens so many slots, finds each by the subject that came back, and takes its reply out.
    pub fn round_trips(&mut self, in_flight: usize) -> usize {
        let opened: Vec<_> = (0..in_flight).map(|_| self.0.reserve(false)).collect();
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

/// What a call with a deadline of its own and one piece of metadata carries.
#[must_use]
pub fn write_headers(metadata: &Metadata, left: Duration) -> Option<HeaderMap> {
    let mut headers = None;
    wire::encode_metadata(&mut headers, metadata);
    wire::encode_timeout(&mut headers, left);
    headers
}

/// # Errors
///
/// What a server would answer.
pub fn read_headers(headers: &HeaderMap) -> Result<(Option<Duration>, Metadata), Status> {
    wire::check_content_type(headers)?;
    Ok((
        wire::decode_timeout(headers)?,
        wire::decode_metadata(headers)?,
    ))
}

#[must_use]
pub fn write_status(status: &Status) -> (HeaderMap, Bytes) {
    wire::encode_status(status)
}

#[must_use]
pub fn read_status(headers: &HeaderMap, payload: &Bytes) -> Option<Status> {
    wire::decode_status(headers, payload)
}

#[must_use]
pub fn subject_matches(pattern: &str, subject: &str) -> bool {
    subject::matches(pattern, subject)
}

pub fn encode(message: &impl prost::Message) -> Bytes {
    wire::encode(message)
}

/// A frame with so many times this message.
#[must_use]
pub fn write_frame<M: prost::Message>(messages: usize, message: &M) -> Bytes {
    let mut body = FrameBody::default();
    for _ in 0..messages {
        body.write(message, message.encoded_len());
    }
    body.finish_frame(FrameControl::default())
}

/// Checks a frame and walks its messages; says how many bytes they are.
#[must_use]
pub fn read_frame(frame: Bytes) -> usize {
    let Ok(mut frame) = Frame::read(frame) else {
        return 0;
    };
    let mut bytes = 0;
    while let Some(message) = frame.entries.next_bytes() {
        bytes += message.len();
    }
    bytes
}
