//! `FrameWriter`: writes messages into the next frame while the stream is not locked. Pure.

use bytes::Bytes;

use crate::stream::frame_body::FrameBody;
use crate::wire;

/// Length in bytes at which a frame is complete, unless `max_payload` is smaller: about 1,450 messages of 16 bytes.
/// Frames of 16 or 64 KiB are not faster (docs/PERFORMANCE.md, "Streams").
pub(super) const TARGET_FRAME_LEN: usize = 32 * 1024;

/// How much may be written before the writer must return to the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendRoom {
    /// Number of messages below the peer's limit.
    pub(super) messages: u64,
    /// Number of bytes below the peer's limit; the last message may overshoot it.
    pub(super) bytes: u64,
    /// Maximum length in bytes of the entries of one frame.
    pub(super) max_fragment_len: usize,
}

/// Messages for the next frame, written apart from the stream and submitted together.
///
/// A handler's reply stream may run any code while it yields messages; with this writer the stream's lock is not
/// held meanwhile, and is taken once for a frame instead of once for a message. The writer holds the stream's
/// only body, so that messages stay in order: [`take`](crate::stream::sending::Sending::take_writer) one, write,
/// submit it. One that is dropped loses what was written, and the body's buffers.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    room: SendRoom,
    body: FrameBody,
    /// Length of the last frame in bytes, for which the buffer is made; 0 on a stream that is idle.
    expected_len: usize,
    /// An encoded message that does not fit into the frame, and follows in a frame of its own or in fragments.
    large: Option<Bytes>,
}

impl FrameWriter {
    /// Returns a writer for a stream with this room.
    pub(super) fn new(room: SendRoom, body: FrameBody, expected_len: usize) -> Self {
        Self {
            room,
            body,
            expected_len,
            large: None,
        }
    }

    /// Returns a writer for one message of any length that goes elsewhere than into a stream: a plain reply, or a
    /// conversion to JSON. Take it out with [`into_message`](Self::into_message).
    pub(crate) fn for_single_message() -> Self {
        // Without room in the frame every message that is not empty becomes the large one.
        let room = SendRoom {
            messages: 1,
            bytes: u64::MAX,
            max_fragment_len: 0,
        };
        Self::new(room, FrameBody::default(), 0)
    }

    /// Returns the message written with [`for_single_message`](Self::for_single_message); `None` if there is none.
    pub(crate) fn into_message(self) -> Option<Bytes> {
        let is_written = !self.is_empty();
        self.large.or_else(|| is_written.then(Bytes::new))
    }

    /// Returns body and large message, for the stream.
    pub(super) fn into_parts(self) -> (FrameBody, Option<Bytes>) {
        (self.body, self.large)
    }

    /// Returns whether one more message may be written. The first always fits; then the peer's limits and
    /// [`TARGET_FRAME_LEN`] decide.
    pub(crate) fn has_room(&self) -> bool {
        self.large.is_none()
            && (self.body.is_empty()
                || self.body.len() < TARGET_FRAME_LEN.min(self.room.max_fragment_len))
            && self.body.entries() < self.room.messages
            && self.body.bytes() < self.room.bytes
    }

    /// Returns whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty() && self.large.is_none()
    }

    /// Writes a message. Call it only while [`has_room`](Self::has_room) holds: a second large message would
    /// replace the first.
    pub(crate) fn write<M: prost::Message>(&mut self, message: &M) {
        let length = message.encoded_len();
        if self.body.len() + length <= self.room.max_fragment_len {
            if self.body.is_empty() {
                self.body.reserve(self.expected_len);
            }
            self.body.write(message, length);
        } else {
            self.large = Some(wire::encode(message));
        }
    }

    /// Writes an encoded message; as [`write`](Self::write).
    pub(crate) fn write_encoded(&mut self, message: Bytes) {
        if self.body.len() + message.len() <= self.room.max_fragment_len {
            self.body.write_bytes(&message);
        } else {
            self.large = Some(message);
        }
    }
}
