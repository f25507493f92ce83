//! `Entries`: the messages of a frame, read in place one after the other. Pure.

use std::ops::Range;

use bytes::Bytes;
use prost::encoding::{DecodeContext, decode_key, decode_varint, skip_field};

use crate::stream::frame_body::FrameBody;
use crate::stream::frame_control::ENTRY_KEY;
use crate::stream::frame_sharing::{BorrowedMessage, EncodedMessage, FrameSharing};

/// Maximum length in bytes of what is copied when it has to wait. Below it a copy is cheap, and the buffer that it
/// arrived in is larger and shared with messages of other streams: async-nats reads 64 KiB at a time.
pub(super) const MAX_COPIED_LEN: usize = 16 * 1024;
/// Length in bytes of the other fields that a frame usually has.
const USUAL_CONTROL_LEN: usize = 64;
/// Minimum length in bytes of an entry's key and length.
const MIN_ENTRY_HEADER_LEN: usize = 2;

/// The messages of a frame that were not read yet.
///
/// Nothing is copied or collected: a frame is checked in one walk when it arrives, which also counts entries and
/// bytes ([`Frame::read`](crate::stream::frame::Frame::read)), and walked once more by its reader. So the walk here
/// cannot fail; it ends early instead of panicking.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    frame: Bytes,
    /// Offset of the next field in the frame.
    at: usize,
    /// Number of entries from there on.
    left: usize,
    /// Total length of those entries in bytes.
    bytes: usize,
    /// Messages may take shares of the frame.
    is_shared: bool,
}

impl Entries {
    /// Returns the entries of a frame that was checked and has this many entries and bytes of them.
    pub(super) fn new(frame: Bytes, count: usize, bytes: usize) -> Self {
        Self {
            frame,
            at: 0,
            left: count,
            bytes,
            is_shared: false,
        }
    }

    /// Returns the number of entries left.
    pub(crate) fn len(&self) -> usize {
        self.left
    }

    /// Returns the total length of the entries left, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether an entry is longer than `max` bytes. A short frame is not walked over.
    pub(crate) fn exceed(&self, max: usize) -> bool {
        if self.bytes <= max {
            return false;
        }
        let mut rest = self.clone();
        std::iter::from_fn(|| rest.advance()).any(|range| range.len() > max)
    }

    /// Returns the length of the frame that is kept in memory for them.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn kept(&self) -> usize {
        self.frame.len()
    }

    /// Returns whether the frame is more than twice as long as the entries left in it, plus the usual.
    ///
    /// Only entries count for flow control, so a peer could fill frames with unknown fields or empty metadata
    /// and make the receiver keep more than it granted. The entries of such a frame are copied out of it at once.
    pub(crate) fn is_padded(&self) -> bool {
        let entries_len = self.bytes + MIN_ENTRY_HEADER_LEN * self.left;
        self.frame.len() > USUAL_CONTROL_LEN + 2 * entries_len
    }

    /// Moves the entries into a buffer of their own, and drops the reference to the buffer that they arrived in.
    pub(crate) fn copy_out(&mut self) {
        if !self.is_padded() {
            self.frame = Bytes::copy_from_slice(&self.frame);
            return;
        }
        let mut body = FrameBody::default();
        body.reserve(self.bytes + MIN_ENTRY_HEADER_LEN * self.left);
        while let Some(range) = self.advance() {
            body.write_bytes(&self.frame[range]);
        }
        let (count, bytes) = (body.entries() as usize, body.bytes() as usize);
        *self = Self::new(body.into_bytes(), count, bytes);
    }

    /// Lets small messages take shares of the frame if the stream's experience allows it.
    pub(super) fn share_with(&mut self, sharing: &FrameSharing) {
        if let Some(frame) = sharing.share(&self.frame, self.left) {
            self.frame = frame;
            self.is_shared = true;
        }
    }

    /// Takes the last entry off, which is a fragment; `None` without entries.
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

    /// Steps over the next entry, and returns its place in the frame; `None` after the last.
    #[inline]
    fn advance(&mut self) -> Option<Range<usize>> {
        while self.left > 0 {
            let mut rest = self.frame.get(self.at..)?;
            let key = *rest.first()?;
            if key == ENTRY_KEY {
                rest = &rest[1..];
                let length = varint(&mut rest)?;
                let start = self.frame.len() - rest.len();
                self.at = start + length;
                self.left -= 1;
                self.bytes -= length;
                return Some(start..self.at);
            }
            let (tag, wire_type) = decode_key(&mut rest).ok()?;
            skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
            self.at = self.frame.len() - rest.len();
        }
        None
    }

    /// Returns the next entry as a slice of the frame.
    #[cfg(test)]
    pub(crate) fn next_slice(&mut self) -> Option<&[u8]> {
        let range = self.advance()?;
        self.frame.get(range)
    }

    /// Returns the next entry with a share of the frame, whatever its length.
    pub(crate) fn next_bytes(&mut self) -> Option<Bytes> {
        let range = self.advance()?;
        Some(self.frame.slice(range))
    }

    /// Returns the next message: in place up to a length of `max_borrowed_len`, else with a share of the frame.
    #[inline]
    pub(crate) fn next_message(&mut self, max_borrowed_len: usize) -> Option<EncodedMessage<'_>> {
        let range = self.advance()?;
        Some(match range.len() <= max_borrowed_len {
            true => {
                let shared = self.is_shared.then_some(&self.frame);
                EncodedMessage::Borrowed(BorrowedMessage::new(&self.frame[range], shared))
            }
            false => EncodedMessage::Owned(self.frame.slice(range)),
        })
    }
}

/// Reads a length, and advances `rest` behind it; `None` if it is malformed. A single byte, which is the usual
/// case, is inlined.
#[inline]
pub(super) fn varint(rest: &mut &[u8]) -> Option<usize> {
    if let [byte, tail @ ..] = rest
        && *byte < 0x80
    {
        let value = usize::from(*byte);
        *rest = tail;
        return Some(value);
    }
    decode_varint(rest)
        .ok()
        .and_then(|length| usize::try_from(length).ok())
}
