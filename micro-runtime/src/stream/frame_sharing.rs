//! `FrameSharing`: lets small messages read their `bytes` fields out of the frame without a copy, until one
//! message keeps such a field.
//!
//! # Why
//!
//! prost reads a `bytes` field by asking its input for a [`Bytes`] and converting that into the field's type.
//! Out of a plain slice this allocates twice for a `Vec<u8>` field: for the `Bytes`, and for the `Vec`. Out of a
//! `Bytes` it is a reference count and one allocation (from 0.17 to 0.12 µs a message of 16 bytes at the client).
//!
//! But a field of type `Bytes` then *is* a share of the frame: a message of 16 bytes that the application keeps
//! would keep the frame of 32 KiB, and the buffer of 64 KiB in which async-nats read it. So sharing is an
//! experiment that each stream runs on its own messages: frames are shared as long as no message has kept a share
//! once its frame was used up. After the first that did, messages of this stream are copied. At most one frame
//! is kept in that way.

use std::sync::Arc;

use bytes::{Buf, Bytes};

/// Minimum length in bytes of a frame that is shared; only busy streams make longer ones. Sharing costs one
/// allocation for the frame, and a message of a slow stream is not worth the buffer that it might keep.
const MIN_SHARED_FRAME_LEN: usize = 16 * 1024;
/// Minimum number of messages in a frame that is shared, over which that allocation is spread.
const MIN_SHARED_MESSAGES: usize = 16;

/// Decides for one stream whether its frames are shared.
#[derive(Debug, Default)]
pub(super) struct FrameSharing {
    /// Counts the shared frames that are alive: each holds a clone.
    live_frames: Arc<()>,
    has_kept_share: bool,
}

/// Owner of a shared frame's bytes; dropped with the last share of the frame.
struct SharedFrame {
    frame: Bytes,
    _live: Arc<()>,
}

/// An encoded message in place, as a slice of its frame. prost decodes from it as a [`Buf`].
pub(crate) struct BorrowedMessage<'a> {
    bytes: &'a [u8],
    /// The frame if it is shared: `bytes` fields are slices of it. Else they are copied.
    frame: Option<&'a Bytes>,
}

/// One encoded message.
pub(crate) enum EncodedMessage<'a> {
    /// A small message, in place in its frame. An application that keeps encoded messages must copy it.
    Borrowed(BorrowedMessage<'a>),
    /// A message with a share of its frame: long enough that keeping the frame is fair, or reassembled from
    /// fragments. Its `bytes` fields are not copied.
    Owned(Bytes),
}

impl FrameSharing {
    /// Returns the same frame in countable form if messages may take shares of it; `None` if they must copy.
    pub(super) fn share(&self, frame: &Bytes, messages: usize) -> Option<Bytes> {
        let shared = || SharedFrame {
            frame: frame.clone(),
            _live: Arc::clone(&self.live_frames),
        };
        let is_worth = messages >= MIN_SHARED_MESSAGES && frame.len() >= MIN_SHARED_FRAME_LEN;
        (!self.has_kept_share && is_worth).then(|| Bytes::from_owner(shared()))
    }

    /// Ends the sharing for this stream if a message still holds a share.
    ///
    /// The reader must call it after it has read all messages of a frame and dropped its own reference, before
    /// it takes the next frame. A message that the application still holds while it asks for the next one counts
    /// as kept.
    pub(super) fn note_released(&mut self) {
        self.has_kept_share |= Arc::strong_count(&self.live_frames) > 1;
    }
}

impl AsRef<[u8]> for SharedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl<'a> BorrowedMessage<'a> {
    /// Returns the message with these bytes, which lie in `frame` if there is one.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], frame: Option<&'a Bytes>) -> Self {
        Self { bytes, frame }
    }

    /// Returns the bytes that were not read yet; of a new message all.
    #[inline]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Buf for BorrowedMessage<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.bytes
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    // The reason for the type: `&[u8]` copies here.
    #[inline]
    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        match self.frame {
            Some(frame) => frame.slice_ref(taken),
            None => Bytes::copy_from_slice(taken),
        }
    }
}

impl EncodedMessage<'_> {
    /// Returns the length in bytes, as flow control counts it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Borrowed(message) => message.bytes().len(),
            Self::Owned(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shared_once_a_message_kept_its_share() {
        let mut sharing = FrameSharing::default();
        let frame = Bytes::from(vec![7; MIN_SHARED_FRAME_LEN]);
        assert!(sharing.share(&frame, MIN_SHARED_MESSAGES - 1).is_none());
        assert!(
            sharing
                .share(&frame.slice(1..), MIN_SHARED_MESSAGES)
                .is_none()
        );
        for _ in 0..2 {
            let shared = sharing.share(&frame, MIN_SHARED_MESSAGES).unwrap();
            let taken = BorrowedMessage::new(&shared[10..30], Some(&shared)).copy_to_bytes(5);
            assert_eq!(taken.as_ptr(), shared[10..].as_ptr());
            drop((taken, shared));
            sharing.note_released();
        }
        let shared = sharing.share(&frame, MIN_SHARED_MESSAGES).unwrap();
        let kept = BorrowedMessage::new(&shared[10..30], Some(&shared)).copy_to_bytes(5);
        drop(shared);
        sharing.note_released();
        assert!(sharing.share(&frame, MIN_SHARED_MESSAGES).is_none());
        drop(kept);
        sharing.note_released();
        assert!(sharing.share(&frame, MIN_SHARED_MESSAGES).is_none());
    }

    #[test]
    fn a_message_is_read_to_its_end_and_no_further() {
        let frame = Bytes::from_static(b"abcdef");
        for frame in [None, Some(&frame)] {
            let bytes = frame.map_or(&b"abcd"[..], |frame| &frame[..4]);
            let mut message = BorrowedMessage::new(bytes, frame);
            assert_eq!(message.copy_to_bytes(1), "a");
            message.advance(1);
            assert_eq!((message.remaining(), message.chunk()), (2, &b"cd"[..]));
            assert_eq!(message.copy_to_bytes(2), "cd");
            assert!(!message.has_remaining());
        }
    }
}
