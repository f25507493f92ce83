//! `FrameSharing`: frames whose messages may keep shares of them, as long as they do not.
//!
//! prost takes a `bytes` field out of a message by asking for a `Bytes`, of which it makes what the
//! message has. A share in the frame costs next to nothing; but a message that keeps one keeps the
//! frame, and the larger buffer that it arrived in.

use std::sync::Arc;

use bytes::{Buf, Bytes};

/// Frames of this length come from a stream that is busy; a shorter one, or one of few messages, is
/// not worth an allocation, and a message of it not the buffer that it may keep.
const MIN_SHARED_FRAME_LEN: usize = 16 * 1024;
const MIN_SHARED_MESSAGES: usize = 16;

/// The frames of one stream, lent until a message has kept a share of one.
#[derive(Debug, Default)]
pub(super) struct FrameSharing {
    /// Each frame that is lent has another one.
    alive: Arc<()>,
    has_kept_share: bool,
}

/// A frame that is lent; alive as long as any share of it.
struct SharedFrame {
    frame: Bytes,
    _alive: Arc<()>,
}

/// A message where it lies in its frame.
pub(crate) struct BorrowedMessage<'a> {
    bytes: &'a [u8],
    /// The frame, if it is lent.
    frame: Option<&'a Bytes>,
}

/// One encoded message.
pub(crate) enum EncodedMessage<'a> {
    /// Where it lies in its frame.
    Borrowed(BorrowedMessage<'a>),
    /// With a share in the frame's buffer, so that `bytes` fields need not be copied.
    Owned(Bytes),
}

impl FrameSharing {
    /// The same frame, if it can be lent.
    pub(super) fn share(&self, frame: &Bytes, messages: usize) -> Option<Bytes> {
        let lent = || SharedFrame {
            frame: frame.clone(),
            _alive: Arc::clone(&self.alive),
        };
        let is_worth = messages >= MIN_SHARED_MESSAGES && frame.len() >= MIN_SHARED_FRAME_LEN;
        (!self.has_kept_share && is_worth).then(|| Bytes::from_owner(lent()))
    }

    /// To be called when a frame is used up and no longer held: nothing is lent any more if a message
    /// holds it still.
    pub(super) fn note_released(&mut self) {
        self.has_kept_share |= Arc::strong_count(&self.alive) > 1;
    }
}

impl AsRef<[u8]> for SharedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl<'a> BorrowedMessage<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8], frame: Option<&'a Bytes>) -> Self {
        Self { bytes, frame }
    }

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
    fn nothing_is_lent_once_a_share_was_kept() {
        let mut sharing = FrameSharing::default();
        let frame = Bytes::from(vec![7; MIN_SHARED_FRAME_LEN]);
        assert!(sharing.share(&frame, MIN_SHARED_MESSAGES - 1).is_none());
        assert!(
            sharing
                .share(&frame.slice(1..), MIN_SHARED_MESSAGES)
                .is_none()
        );
        for _ in 0..2 {
            let lent = sharing.share(&frame, MIN_SHARED_MESSAGES).unwrap();
            let taken = BorrowedMessage::new(&lent[10..30], Some(&lent)).copy_to_bytes(5);
            assert_eq!(taken.as_ptr(), lent[10..].as_ptr());
            drop((taken, lent));
            sharing.note_released();
        }
        let lent = sharing.share(&frame, MIN_SHARED_MESSAGES).unwrap();
        let kept = BorrowedMessage::new(&lent[10..30], Some(&lent)).copy_to_bytes(5);
        drop(lent);
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
