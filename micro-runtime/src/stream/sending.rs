//! The sending direction of a stream: what is written, what may be sent, how it is cut. Pure.

use bytes::{Buf as _, Bytes};
use prost::Message as _;

use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::stream::frame;
use crate::stream::frame::{FrameBody, FrameControl};
use crate::stream::options::Credit;

/// What an entry takes besides its bytes, at most.
const MAX_ENTRY_HEADER_LEN: usize = 6;
/// A frame is cut at about this length.
pub(crate) const TARGET_FRAME_LEN: usize = 32 * 1024;
/// A message that is longer goes in parts of this length.
const MAX_FRAGMENT_LEN: usize = 128 * 1024;
/// What a frame takes besides its messages; status and trailers come on top.
const MAX_FRAME_OVERHEAD: usize = 256;

/// What is to be sent in one direction.
#[derive(Debug)]
pub(crate) struct Sending {
    /// What NATS takes in one message.
    max_payload: usize,
    seq: u64,
    sent: Credit,
    /// What the peer takes in all.
    limit: Credit,
    body: FrameBody,
    /// How long the last frame was.
    last_frame_len: usize,
    /// A message that waits for a frame of its own, or the rest of one that goes in parts.
    large: Option<Bytes>,
    end: Option<Ending>,
    has_ended: bool,
}

/// The end of a direction; a status and trailers come from the server alone.
#[derive(Debug)]
struct Ending {
    status: Option<Status>,
    trailers: Metadata,
}

/// How many messages may be written before the next word from the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendRoom {
    messages: u64,
    bytes: u64,
    max_fragment_len: usize,
}

/// Messages that were written apart from the stream, to be added at once.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    room: SendRoom,
    body: FrameBody,
    /// How much the buffer is made for: an idle stream has none.
    expected: usize,
    large: Option<Bytes>,
}

impl Sending {
    pub(crate) fn new(limit: Credit, max_payload: usize) -> Self {
        Self {
            max_payload,
            seq: 0,
            sent: Credit::default(),
            limit,
            body: FrameBody::default(),
            last_frame_len: 0,
            large: None,
            end: None,
            has_ended: false,
        }
    }

    /// The peer takes this much in all; it never takes a word back.
    pub(crate) fn raise_limit(&mut self, limit: Credit) {
        self.limit.messages = self.limit.messages.max(limit.messages);
        self.limit.bytes = self.limit.bytes.max(limit.bytes);
    }

    fn max_fragment_len(&self) -> usize {
        MAX_FRAGMENT_LEN.min(self.max_payload.saturating_sub(MAX_FRAME_OVERHEAD).max(1))
    }

    fn is_below_limit(&self) -> bool {
        self.sent.messages + self.body.entries() < self.limit.messages
            && self.sent.bytes + self.body.bytes() < self.limit.bytes
    }

    /// Says whether a message may be written now.
    pub(crate) fn has_room(&self) -> bool {
        self.large.is_none() && self.body.len() < self.target_len() && self.is_below_limit()
    }

    fn target_len(&self) -> usize {
        TARGET_FRAME_LEN.min(self.max_fragment_len())
    }

    /// Takes the place of the messages to be written; `add` brings them back. Only where there is
    /// room and nothing is written yet.
    pub(crate) fn take_writer(&mut self) -> Option<FrameWriter> {
        if !self.has_room() || !self.body.is_empty() {
            return None;
        }
        Some(FrameWriter {
            room: SendRoom {
                messages: self.limit.messages - self.sent.messages,
                bytes: self.limit.bytes - self.sent.bytes,
                max_fragment_len: self.max_fragment_len(),
            },
            body: std::mem::take(&mut self.body),
            expected: self.last_frame_len,
            large: None,
        })
    }

    pub(crate) fn submit(&mut self, writer: FrameWriter) {
        self.body = writer.body;
        self.large = writer.large;
    }

    /// Writes a small message; there must be room.
    pub(crate) fn write<M: prost::Message>(&mut self, message: &M, length: usize) {
        if self.body.len() + length > self.max_fragment_len() {
            self.large = Some(message.encode_to_vec().into());
            return;
        }
        if self.body.is_empty() {
            self.body.reserve(self.last_frame_len);
        }
        self.body.write(message, length);
    }

    /// Writes a message that is encoded already; there must be room.
    pub(crate) fn write_encoded(&mut self, message: Bytes) {
        if self.body.len() + message.len() > self.max_fragment_len() {
            self.large = Some(message);
            return;
        }
        if self.body.is_empty() {
            self.body.reserve(
                self.last_frame_len
                    .max(message.len() + MAX_ENTRY_HEADER_LEN),
            );
        }
        self.body.write_bytes(&message);
    }

    /// Nothing has been said for long.
    pub(crate) fn release_buffers(&mut self) {
        self.body.release_buffers();
    }

    /// Ends the direction after what is written.
    pub(crate) fn end(&mut self, status: Option<Status>, trailers: Metadata) {
        if self.end.is_none() && !self.has_ended {
            self.end = Some(Ending { status, trailers });
        }
    }

    /// The number of the last frame.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Says whether the end is to be sent, or was.
    pub(crate) fn is_ending(&self) -> bool {
        self.has_ended || self.end.is_some()
    }

    /// Drops what is written; the stream has failed.
    pub(crate) fn clear(&mut self) {
        self.body = FrameBody::default();
        self.large = None;
        self.end = None;
    }

    /// Says whether a frame with messages or the end is to be sent.
    pub(crate) fn has_frame(&self) -> bool {
        !self.body.is_empty()
            || match &self.large {
                Some(_) => self.is_below_limit(),
                None => self.end.is_some(),
            }
    }

    /// Makes the next frame in sequence, with whatever is ready.
    pub(crate) fn frame(&mut self, mut control: FrameControl) -> Bytes {
        self.seq += 1;
        control.seq = self.seq;
        if control.has(frame::OPEN) {
            let alone = control.encoded_len();
            if alone > self.max_payload {
                self.fail_metadata(&mut control, "the headers");
            } else if alone + self.next_len() > self.max_payload {
                return FrameBody::default().finish_frame(control);
            }
        }
        if self.body.is_empty()
            && let Some(large) = self.large.take()
        {
            match self.is_below_limit() {
                true => control.flags |= self.write_fragment(large),
                false => self.large = Some(large),
            }
        }
        if self.large.is_none()
            && let Some(ending) = self.end.take()
        {
            match self.with_end(control.clone(), &ending) {
                Some(with_end) => {
                    control = with_end;
                    self.has_ended = true;
                }
                None => self.end = Some(ending),
            }
        }
        self.last_frame_len = self.body.len().min(2 * TARGET_FRAME_LEN);
        self.sent.messages += self.body.entries() - u64::from(control.has(frame::MORE));
        self.sent.bytes += self.body.bytes();
        self.body.finish_frame(control)
    }

    /// What the messages of the next frame take.
    fn next_len(&self) -> usize {
        match &self.large {
            Some(large) if self.body.is_empty() => {
                large.len().min(self.max_fragment_len()) + MAX_ENTRY_HEADER_LEN
            }
            _ => self.body.len(),
        }
    }

    /// Ends the direction with the word that metadata does not fit.
    fn fail_metadata(&mut self, control: &mut FrameControl, what: &str) {
        control.flags &= !frame::OPEN;
        control.metadata = Vec::new();
        self.clear();
        self.end(Some(too_large(what)), Metadata::new());
    }

    /// Takes the next part of a message, and says which flag goes with it.
    fn write_fragment(&mut self, mut large: Bytes) -> u32 {
        let part = self.max_fragment_len();
        self.body
            .reserve(large.len().min(part) + MAX_ENTRY_HEADER_LEN);
        if large.len() <= part {
            self.body.write_bytes(&large);
            return 0;
        }
        self.body.write_bytes(&large[..part]);
        large.advance(part);
        self.large = Some(large);
        frame::MORE
    }

    /// The frame with the end in it; `None` if it has to go in a frame of its own.
    fn with_end(&self, mut control: FrameControl, ending: &Ending) -> Option<FrameControl> {
        // Headers and trailers share a field.
        let is_open = control.has(frame::OPEN);
        if is_open && !ending.trailers.is_empty() {
            return None;
        }
        control.flags |= frame::END;
        if !is_open {
            control = control.with_metadata(&ending.trailers);
        }
        let whole = control.clone().with_status(ending.status.as_ref());
        if self.body.len() + whole.encoded_len() <= self.max_payload {
            return Some(whole);
        }
        if is_open || !self.body.is_empty() {
            return None;
        }
        let short = ending.status.as_ref().map(Status::shortened);
        let whole = control.clone().with_status(short.as_ref());
        if whole.encoded_len() <= self.max_payload {
            return Some(whole);
        }
        // A call that has failed is not told twice.
        let status = short.unwrap_or_else(|| too_large("the trailers"));
        Some(
            control
                .with_metadata(&Metadata::new())
                .with_status(Some(&status)),
        )
    }
}

fn too_large(what: &str) -> Status {
    let text = format!("{what} of the stream do not fit into one NATS message");
    Reason::TooLarge.status(text)
}

impl FrameWriter {
    /// A place for one message, whatever its length.
    pub(crate) fn for_single_message() -> Self {
        Self {
            room: SendRoom {
                messages: 1,
                bytes: u64::MAX,
                max_fragment_len: 0,
            },
            body: FrameBody::default(),
            expected: 0,
            large: None,
        }
    }

    /// The message that was written there.
    pub(crate) fn into_message(self) -> Option<Bytes> {
        let is_written = !self.is_empty();
        self.large.or_else(|| is_written.then(Bytes::new))
    }

    /// Says whether one more message may be written.
    pub(crate) fn has_room(&self) -> bool {
        self.large.is_none()
            && (self.body.is_empty()
                || self.body.len() < TARGET_FRAME_LEN.min(self.room.max_fragment_len))
            && self.body.entries() < self.room.messages
            && self.body.bytes() < self.room.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty() && self.large.is_none()
    }

    /// Writes a message; there must be room.
    pub(crate) fn write<M: prost::Message>(&mut self, message: &M) {
        let length = message.encoded_len();
        if self.body.len() + length <= self.room.max_fragment_len {
            if self.body.is_empty() {
                self.body.reserve(self.expected);
            }
            self.body.write(message, length);
        } else {
            self.large = Some(message.encode_to_vec().into());
        }
    }

    /// Writes a message that is encoded already.
    pub(crate) fn write_encoded(&mut self, message: Bytes) {
        if self.body.len() + message.len() <= self.room.max_fragment_len {
            self.body.write_bytes(&message);
        } else {
            self.large = Some(message);
        }
    }
}
