//! `Sending`: one direction of a stream at its sender: what is written, what may be sent, how frames are cut. Pure.
//!
//! Rules, from docs/PROTOCOL.md, "A streaming call":
//!
//! - *Batching.* A frame takes whatever is written when it is made, and no more is written into it at about 32 KiB.
//!   There is no timer: a message is never delayed for company, and under load frames are full anyway.
//! - *Flow control.* A message may begin only while both sums, messages and bytes, are below the peer's limits; it may
//!   overshoot the bytes once. Limits never shrink, even if a frame states smaller ones.
//! - *Size.* A message that does not fit into a frame waits in `large` and goes in fragments of at most 128 KiB, less
//!   if NATS takes less. It holds up the messages behind it, which must not arrive before it.
//! - *Order.* Frames with messages, OPEN or END are numbered from 1.
//! - *End.* END goes behind all messages, in the last of their frames where it fits. A status and trailers that do not
//!   fit into one NATS message are shortened, or replaced by an error; the end itself is always sent.

use bytes::{Buf as _, Bytes};

use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::credit::Credit;
use crate::stream::frame_body::{FrameBody, MAX_ENTRY_HEADER_LEN};
use crate::stream::frame_control;
use crate::stream::frame_control::FrameControl;
use crate::stream::frame_writer::{FrameWriter, SendRoom, TARGET_FRAME_LEN};
use crate::stream::stream_label::StreamLabel;
use crate::wire;
use crate::wire::FrameMark;

/// Maximum length of a fragment in bytes, and so of the entries of a frame.
const MAX_FRAGMENT_LEN: usize = 128 * 1024;
/// Length in bytes reserved in a NATS message for the other fields of a frame. Status and metadata may take more;
/// they are measured where they are added.
const MAX_FRAME_OVERHEAD: usize = 256;

/// The sending direction of one end.
#[derive(Debug)]
pub(crate) struct Sending {
    /// Maximum length in bytes of a NATS message.
    max_payload: usize,
    label: StreamLabel,
    /// Number of the last frame.
    seq: u64,
    sent: Credit,
    /// Sums that the peer takes at most.
    limit: Credit,
    /// Messages for the next frame. Empty while a [`FrameWriter`] holds it.
    body: FrameBody,
    /// Length in bytes of the entries of the last frame, for which the next buffer is made.
    last_frame_len: usize,
    /// A message that does not fit behind the body, or the rest of one whose first fragments were sent.
    large: Option<Bytes>,
    /// The end, until it is sent.
    end: Option<DirectionEnd>,
    has_ended: bool,
}

/// Status and trailers of an end. The client has neither.
#[derive(Debug)]
struct DirectionEnd {
    status: Option<Status>,
    trailers: Metadata,
}

impl Sending {
    /// Returns the direction at its begin; `limit` is the first window of the peer.
    pub(crate) fn new(limit: Credit, max_payload: usize) -> Self {
        Self {
            max_payload,
            label: StreamLabel::new(None, false),
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

    /// Sets the names for the texts of failures.
    pub(super) fn set_label(&mut self, label: StreamLabel) {
        self.label = label;
    }

    /// Raises the limits to those of a frame. Smaller ones are ignored: they are of an earlier frame.
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

    /// Returns whether a message may be written now.
    pub(crate) fn has_room(&self) -> bool {
        self.large.is_none() && self.body.len() < self.target_len() && self.is_below_limit()
    }

    fn target_len(&self) -> usize {
        TARGET_FRAME_LEN.min(self.max_fragment_len())
    }

    /// Takes the body out, to be written while the stream is not locked; [`submit`](Self::submit) puts it back.
    ///
    /// `None` without room, or while messages wait to be sent: they must come before what is written now.
    pub(crate) fn take_writer(&mut self) -> Option<FrameWriter> {
        if !self.has_room() || !self.body.is_empty() {
            return None;
        }
        let room = SendRoom {
            messages: self.limit.messages - self.sent.messages,
            bytes: self.limit.bytes - self.sent.bytes,
            max_fragment_len: self.max_fragment_len(),
        };
        let body = std::mem::take(&mut self.body);
        Some(FrameWriter::new(room, body, self.last_frame_len))
    }

    /// Puts the body back with what was written.
    pub(crate) fn submit(&mut self, writer: FrameWriter) {
        (self.body, self.large) = writer.into_parts();
    }

    /// Writes a message whose encoded length is `length`. Call it only while [`has_room`](Self::has_room) holds.
    pub(crate) fn write<M: prost::Message>(&mut self, message: &M, length: usize) {
        if self.body.len() + length > self.max_fragment_len() {
            self.large = Some(wire::encode(message));
            return;
        }
        if self.body.is_empty() {
            self.body.reserve(self.last_frame_len);
        }
        self.body.write(message, length);
    }

    /// Writes an encoded message; as [`write`](Self::write).
    pub(crate) fn write_encoded(&mut self, message: Bytes) {
        if self.body.len() + message.len() > self.max_fragment_len() {
            self.large = Some(message);
            return;
        }
        if self.body.is_empty() {
            self.body.reserve(self.last_frame_len);
        }
        self.body.write_bytes(&message);
    }

    /// Drops the buffers of a busy stream. Called with each PING, which an end sends or receives only after a
    /// heartbeat of silence.
    pub(crate) fn release_buffers(&mut self) {
        self.body.release_buffers();
    }

    /// Ends the direction behind what is written. The first end holds.
    pub(crate) fn end(&mut self, status: Option<Status>, trailers: Metadata) {
        if self.end.is_none() && !self.has_ended {
            self.end = Some(DirectionEnd { status, trailers });
        }
    }

    /// Returns the number of the last frame; 0 before the first.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns whether END was sent.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns whether END was sent, or will be behind what is written.
    pub(crate) fn is_ending(&self) -> bool {
        self.has_ended || self.end.is_some()
    }

    /// Drops what is written, and the end; the stream has failed.
    pub(crate) fn clear(&mut self) {
        self.body = FrameBody::default();
        self.large = None;
        self.end = None;
    }

    /// Returns whether a frame with messages or END can be sent now. The rest of a large message waits for credit
    /// like any other; END does not, but waits for that message.
    pub(crate) fn has_frame(&self) -> bool {
        !self.body.is_empty()
            || match &self.large {
                Some(_) => self.is_below_limit(),
                None => self.end.is_some(),
            }
    }

    /// Makes the next numbered frame of the end with this mark: what is written, or a fragment, and END if nothing
    /// remains behind it.
    ///
    /// `control` may bring OPEN with headers. If they do not fit beside the messages they go alone; if they do not
    /// fit at all the call fails with `RESOURCE_EXHAUSTED` instead.
    pub(crate) fn frame(&mut self, mark: FrameMark, mut control: FrameControl) -> Bytes {
        self.seq += 1;
        control.seq = self.seq;
        if control.has(frame_control::OPEN) {
            let alone = control.frame_len();
            if alone > self.max_payload {
                self.fail_metadata(&mut control, alone);
            } else if alone + self.next_len() > self.max_payload {
                return FrameBody::default().finish_frame(mark, control);
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
            && let Some(end) = self.end.take()
        {
            match self.with_end(control.clone(), &end) {
                Some(with_end) => {
                    control = with_end;
                    self.has_ended = true;
                }
                None => self.end = Some(end),
            }
        }
        self.last_frame_len = self.body.len().min(2 * TARGET_FRAME_LEN);
        // An unfinished message counts with its last fragment.
        self.sent.messages += self.body.entries() - u64::from(control.has(frame_control::MORE));
        self.sent.bytes += self.body.bytes();
        self.body.finish_frame(mark, control)
    }

    /// Returns the length in bytes of the entries of the next frame.
    fn next_len(&self) -> usize {
        match &self.large {
            Some(large) if self.body.is_empty() => {
                large.len().min(self.max_fragment_len()) + MAX_ENTRY_HEADER_LEN
            }
            _ => self.body.len(),
        }
    }

    /// Replaces OPEN, and everything that was to follow it, by an end with the error that metadata does not fit.
    fn fail_metadata(&mut self, control: &mut FrameControl, length: usize) {
        let status = self
            .label
            .metadata_too_long("the headers", length, self.max_payload);
        control.flags &= !frame_control::OPEN;
        control.metadata = Vec::new();
        self.clear();
        self.end(Some(status), Metadata::new());
    }

    /// Writes the next fragment of a message, and returns MORE unless it is the last.
    fn write_fragment(&mut self, mut large: Bytes) -> u32 {
        let max_len = self.max_fragment_len();
        self.body
            .reserve(large.len().min(max_len) + MAX_ENTRY_HEADER_LEN);
        if large.len() <= max_len {
            self.body.write_bytes(&large);
            return 0;
        }
        self.body.write_bytes(&large[..max_len]);
        large.advance(max_len);
        self.large = Some(large);
        frame_control::MORE
    }

    /// Adds END to a frame; `None` if it must go in a frame of its own.
    ///
    /// Headers and trailers share a field, so OPEN and END share a frame only if there are no trailers. A frame of
    /// its own that is still too long gets a shorter status; then none of the trailers. A call that has failed
    /// already keeps its status in that case, since that explains more than missing trailers do.
    fn with_end(&self, mut control: FrameControl, end: &DirectionEnd) -> Option<FrameControl> {
        let is_open = control.has(frame_control::OPEN);
        if is_open && !end.trailers.is_empty() {
            return None;
        }
        control.flags |= frame_control::END;
        if !is_open {
            control = control.with_metadata(&end.trailers);
        }
        let whole = control.clone().with_status(end.status.as_ref());
        if self.body.len() + whole.frame_len() <= self.max_payload {
            return Some(whole);
        }
        if is_open || !self.body.is_empty() {
            return None;
        }
        let short = end.status.as_ref().map(Status::shortened);
        let whole = control.clone().with_status(short.as_ref());
        if whole.frame_len() <= self.max_payload {
            return Some(whole);
        }
        let length = whole.frame_len();
        let status = short.unwrap_or_else(|| {
            self.label
                .metadata_too_long("the trailers", length, self.max_payload)
        });
        Some(
            control
                .with_metadata(&Metadata::new())
                .with_status(Some(&status)),
        )
    }
}
