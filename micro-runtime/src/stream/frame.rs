//! One NATS message of a stream, as bytes and back. Pure.
//!
//! The messages of a frame are neither copied nor collected: a frame is checked in one walk when it
//! arrives, and walked once more by whoever takes its messages.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_varint, uint64};

use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::buffer_pool::BufferPool;
use crate::stream::frame_sharing::{BorrowedMessage, EncodedMessage, FrameSharing};
use crate::wire::RpcStatus;

/// The last entry is unfinished.
pub(crate) const MORE: u32 = 1;
/// This direction is complete.
pub(crate) const END: u32 = 2;
/// Both directions end.
pub(crate) const RESET: u32 = 4;
/// Wants to be answered.
pub(crate) const PING: u32 = 8;
/// Names instance and stream.
pub(crate) const ACCEPT: u32 = 16;
/// The handler returned its stream.
pub(crate) const OPEN: u32 = 32;

/// The field of the number.
const SEQ_FIELD: u32 = 1;
/// The field of the messages, and its key on the wire.
const ENTRY_FIELD: u32 = 2;
const ENTRY_KEY: u8 = 0x12;

/// Room for the end of a frame; status and metadata are rare.
const CONTROL_CAPACITY: usize = 64;
/// As much besides messages is usual in a frame.
const MAX_PADDING: usize = 64;
/// Frames of this length come from a stream that is busy.
const BUSY_FRAME_LEN: usize = 16 * 1024;

/// Everything in a frame but its messages.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FrameControl {
    #[prost(uint64, tag = "1")]
    pub(crate) seq: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) flags: u32,
    #[prost(uint64, tag = "4")]
    pub(crate) taken: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) max_messages: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) max_bytes: u64,
    #[prost(message, optional, tag = "7")]
    pub(crate) status: Option<RpcStatus>,
    #[prost(string, tag = "8")]
    pub(crate) instance: String,
    #[prost(string, tag = "9")]
    pub(crate) stream: String,
    #[prost(message, repeated, tag = "10")]
    pub(super) metadata: Vec<Entry>,
    #[prost(uint64, tag = "11")]
    pub(crate) last: u64,
}

/// `micro.v1.Metadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// A frame that arrived and is well formed.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) control: FrameControl,
    pub(crate) entries: Entries,
}

/// The messages of a frame, from the next one on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    frame: Bytes,
    at: usize,
    left: usize,
    /// The lengths of those that are left.
    bytes: usize,
    is_shared: bool,
}

/// Messages that are written to be sent in one frame.
#[derive(Debug, Default)]
pub(crate) struct FrameBody {
    buffer: BytesMut,
    /// Those of the frames before; a stream that is idle or slow keeps none.
    buffers: BufferPool,
    entries: u64,
    bytes: u64,
}

/// What is wrong with a frame.
#[derive(Debug)]
pub(crate) struct BadFrame(pub(crate) &'static str);

impl FrameControl {
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn with_status(mut self, status: Option<&Status>) -> Self {
        self.status = status.map(RpcStatus::new);
        self
    }

    pub(crate) fn with_metadata(mut self, metadata: &Metadata) -> Self {
        self.metadata = metadata
            .iter()
            .map(|(name, value)| Entry {
                name: name.to_owned(),
                value: Bytes::copy_from_slice(value),
            })
            .collect();
        self
    }

    /// What the peer has added; what breaks the rules for metadata is left out.
    pub(crate) fn take_metadata(&mut self) -> Metadata {
        let mut metadata = Metadata::new();
        for entry in std::mem::take(&mut self.metadata) {
            if let Err(status) = metadata.append(&entry.name, &entry.value) {
                tracing::debug!(%status, "left out a header of a stream");
            }
        }
        metadata
    }
}

impl Frame {
    /// Checks a frame and reads all of it but its messages.
    pub(crate) fn read(frame: Bytes) -> Result<Self, BadFrame> {
        if frame.is_empty() {
            return Err(BadFrame("it is empty"));
        }
        let mut control = FrameControl::default();
        let mut entries = Entries::default();
        let mut rest = &frame[..];
        while let Some(&key) = rest.first() {
            if key == ENTRY_KEY {
                rest = &rest[1..];
                let length = varint(&mut rest)?;
                rest = rest.get(length..).ok_or(BadFrame("a message is cut"))?;
                entries.left += 1;
                entries.bytes += length;
                continue;
            }
            let malformed = |_| BadFrame("it is not a micro.v1.Frame");
            let (tag, wire_type) = decode_key(&mut rest).map_err(malformed)?;
            if tag == ENTRY_FIELD {
                return Err(BadFrame("a message has a key of another form"));
            }
            control
                .merge_field(tag, wire_type, &mut rest, DecodeContext::default())
                .map_err(malformed)?;
        }
        entries.frame = frame;
        Ok(Self { control, entries })
    }
}

impl Entries {
    /// How many messages are left.
    pub(crate) fn len(&self) -> usize {
        self.left
    }

    /// How long they are together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much memory the frame takes.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn kept(&self) -> usize {
        self.frame.len()
    }

    /// Says whether the frame is much longer than the messages that are left in it.
    pub(crate) fn is_padded(&self) -> bool {
        self.frame.len() > MAX_PADDING + 2 * (self.bytes + 2 * self.left)
    }

    /// Gives up the buffer that the frame arrived in, which other messages may share.
    pub(crate) fn detach(&mut self) {
        if !self.is_padded() {
            self.frame = Bytes::copy_from_slice(&self.frame);
            return;
        }
        let mut body = FrameBody::default();
        body.reserve(self.bytes + 2 * self.left);
        while let Some(range) = self.advance() {
            body.write_bytes(&self.frame[range]);
        }
        *self = body.into_entries();
    }

    /// Lets small messages have shares of the frame, if it can be lent.
    pub(super) fn share_with(&mut self, sharing: &FrameSharing) {
        if let Some(frame) = sharing.share(&self.frame, self.left) {
            self.frame = frame;
            self.is_shared = true;
        }
    }

    /// Takes the last message off.
    pub(crate) fn split_last(&mut self) -> Option<Bytes> {
        let mut rest = self.clone();
        while rest.left > 1 {
            rest.advance()?;
        }
        let last = rest.next_bytes()?;
        self.left -= 1;
        self.bytes -= last.len();
        Some(last)
    }

    /// Where the next message lies in the frame.
    #[inline]
    fn advance(&mut self) -> Option<std::ops::Range<usize>> {
        while self.left > 0 {
            let mut rest = self.frame.get(self.at..)?;
            let key = *rest.first()?;
            if key == ENTRY_KEY {
                rest = &rest[1..];
                let length = varint(&mut rest).ok()?;
                let start = self.frame.len() - rest.len();
                self.at = start + length;
                self.left -= 1;
                self.bytes -= length;
                return Some(start..self.at);
            }
            let (tag, wire_type) = decode_key(&mut rest).ok()?;
            skip(tag, wire_type, &mut rest)?;
            self.at = self.frame.len() - rest.len();
        }
        None
    }

    /// The next message, in the frame's buffer.
    #[cfg(test)]
    pub(crate) fn next_slice(&mut self) -> Option<&[u8]> {
        let range = self.advance()?;
        self.frame.get(range)
    }

    /// The next message, with a share in the frame's buffer.
    pub(crate) fn next_bytes(&mut self) -> Option<Bytes> {
        let range = self.advance()?;
        Some(self.frame.slice(range))
    }

    /// The next message, shared only if it is longer than `limit`.
    #[inline]
    pub(crate) fn next_message(&mut self, limit: usize) -> Option<EncodedMessage<'_>> {
        let range = self.advance()?;
        Some(match range.len() <= limit {
            true => {
                let lent = self.is_shared.then_some(&self.frame);
                EncodedMessage::Borrowed(BorrowedMessage::new(&self.frame[range], lent))
            }
            false => EncodedMessage::Owned(self.frame.slice(range)),
        })
    }
}

impl FrameBody {
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it takes in the frame, with keys and lengths.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Makes room for as much as the last frame took, so that a busy stream does not grow a buffer
    /// for each frame.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if self.buffer.capacity() == 0 && bytes >= BUSY_FRAME_LEN {
            self.buffer = self.buffers.take(bytes + CONTROL_CAPACITY);
        }
        self.buffer.reserve(bytes + CONTROL_CAPACITY);
    }

    /// Writes a message whose length is known already.
    pub(crate) fn write<M: prost::Message>(&mut self, message: &M, length: usize) {
        self.buffer.reserve(length + 6);
        self.buffer.put_u8(ENTRY_KEY);
        encode_varint(length as u64, &mut self.buffer);
        message.encode_raw(&mut self.buffer);
        self.count(length);
    }

    /// Adds a message that is encoded already, or a part of one.
    pub(crate) fn write_bytes(&mut self, entry: &[u8]) {
        self.buffer.reserve(entry.len() + 6);
        self.buffer.put_u8(ENTRY_KEY);
        encode_varint(entry.len() as u64, &mut self.buffer);
        self.buffer.put_slice(entry);
        self.count(entry.len());
    }

    /// Gives back the memory that a busy stream needs.
    pub(crate) fn release_buffers(&mut self) {
        self.buffers.clear();
    }

    fn into_entries(self) -> Entries {
        Entries {
            frame: self.buffer.freeze(),
            at: 0,
            left: self.entries as usize,
            bytes: self.bytes as usize,
            is_shared: false,
        }
    }

    fn count(&mut self, length: usize) {
        self.entries += 1;
        self.bytes += length as u64;
    }

    /// Makes a frame of what was written so far; the body is empty then.
    pub(crate) fn finish_frame(&mut self, mut control: FrameControl) -> Bytes {
        self.buffer.reserve(control.encoded_len());
        // The number comes last: what is left of a frame that was cut on the way has none, and is
        // not taken for a whole one.
        let seq = std::mem::take(&mut control.seq);
        control.encode_raw(&mut self.buffer);
        if seq != 0 {
            uint64::encode(SEQ_FIELD, &seq, &mut self.buffer);
        }
        self.entries = 0;
        self.bytes = 0;
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.len() < BUSY_FRAME_LEN {
            self.buffers.clear();
            return buffer.freeze();
        }
        self.buffers.freeze(buffer)
    }
}

/// Reads a length; one byte is the usual case.
#[inline]
fn varint(rest: &mut &[u8]) -> Result<usize, BadFrame> {
    if let [byte, tail @ ..] = rest
        && *byte < 0x80
    {
        let value = usize::from(*byte);
        *rest = tail;
        return Ok(value);
    }
    decode_varint(rest)
        .ok()
        .and_then(|length| usize::try_from(length).ok())
        .ok_or(BadFrame("a length is malformed"))
}

fn skip(tag: u32, wire_type: WireType, rest: &mut &[u8]) -> Option<()> {
    prost::encoding::skip_field(wire_type, tag, rest, DecodeContext::default()).ok()
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
