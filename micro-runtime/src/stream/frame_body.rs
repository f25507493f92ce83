//! `FrameBody`: writes messages into the buffer of a frame, and the frame around them. Pure.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{encode_varint, uint64};

use crate::stream::buffer_pool::BufferPool;
use crate::stream::frame_control::{ENTRY_KEY, FrameControl, SEQ_FIELD};
use crate::wire;
use crate::wire::FrameMark;

/// Room in bytes that is reserved for the end of a frame. Status and metadata may need more, but are rare.
const CONTROL_CAPACITY: usize = 64;
/// Length in bytes from which a frame counts as one of a busy stream, whose buffers are kept and used again.
const BUSY_FRAME_LEN: usize = 16 * 1024;
/// Maximum length in bytes of an entry's key and length, for messages below 4 GiB.
pub(super) const MAX_ENTRY_HEADER_LEN: usize = 6;

/// Messages of the next frame, written one behind the other as fields of `micro.v1.Frame`, behind room for the frame's
/// mark.
///
/// Messages are encoded straight into the frame's buffer, and [`finish_frame`](Self::finish_frame) appends the
/// other fields, so that a message is written once on its way to async-nats.
#[derive(Debug, Default)]
pub(crate) struct FrameBody {
    buffer: BytesMut,
    /// Buffers of earlier frames. Empty on a stream that is idle or slow: each may hold 1 MiB, and a server may
    /// have many streams.
    buffers: BufferPool,
    entries: u64,
    bytes: u64,
}

impl FrameBody {
    /// Returns the number of entries written: messages, and fragments of one.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns the total length of the entries in bytes, as flow control counts it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the length of the entries in bytes, with keys and lengths. The mark is counted with the other fields, by
    /// [`FrameControl::frame_len`].
    pub(crate) fn len(&self) -> usize {
        self.buffer.len().saturating_sub(1)
    }

    /// Returns whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Makes room for `bytes` of entries; callers pass the length of the last frame, so that the buffer of a
    /// busy stream does not grow step by step for each frame.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if self.buffer.capacity() == 0 && bytes >= BUSY_FRAME_LEN {
            self.buffer = self.buffers.take(bytes + CONTROL_CAPACITY);
        }
        self.buffer.reserve(bytes + CONTROL_CAPACITY);
    }

    /// Writes a message whose encoded length is `length`.
    pub(crate) fn write<M: prost::Message>(&mut self, message: &M, length: usize) {
        self.write_entry_header(length);
        wire::encode_into(message, &mut self.buffer);
    }

    /// Writes an encoded message, or a fragment of one.
    pub(crate) fn write_bytes(&mut self, entry: &[u8]) {
        self.write_entry_header(entry.len());
        self.buffer.put_slice(entry);
    }

    #[inline]
    fn write_entry_header(&mut self, length: usize) {
        self.buffer.reserve(length + MAX_ENTRY_HEADER_LEN + 1);
        if self.entries == 0 {
            self.buffer.put_u8(0);
        }
        self.buffer.put_u8(ENTRY_KEY);
        encode_varint(length as u64, &mut self.buffer);
        self.entries += 1;
        self.bytes += length as u64;
    }

    /// Drops the buffers kept for a busy stream.
    pub(crate) fn release_buffers(&mut self) {
        self.buffers.clear();
    }

    /// Returns the entries alone, without a frame around them.
    pub(super) fn into_bytes(mut self) -> Bytes {
        if self.entries > 0 {
            self.buffer.advance(1);
        }
        self.buffer.freeze()
    }

    /// Makes a frame of the end with this mark of the entries and `control`, and empties the body.
    ///
    /// `seq` is written behind all other fields (docs/PROTOCOL.md, FRAME-4): the rest of a frame that was
    /// truncated on its way has no number, and is rejected instead of being taken for a whole frame.
    pub(crate) fn finish_frame(&mut self, mark: FrameMark, mut control: FrameControl) -> Bytes {
        self.buffer.reserve(control.frame_len());
        match self.entries {
            0 => self.buffer.put_u8(mark.byte()),
            _ => self.buffer[0] = mark.byte(),
        }
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
