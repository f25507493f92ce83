//! The buffers of a busy stream, used again in turns. Pure.
//!
//! A frame's memory is free again as soon as everybody has read it. Giving it back to the system
//! and asking for it once more costs more than copying the frame: each page is cleared first.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// So much memory is kept at most, in bytes.
const MAX_RETAINED_BYTES: usize = 1024 * 1024;
/// Frames differ a little in length.
const CAPACITY_STEP: usize = 4096;

/// BufferPool that were lent out, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    lent: VecDeque<ReusableBuffer>,
    /// How long they are together.
    bytes: usize,
}

#[derive(Debug)]
struct ReusableBuffer {
    buffer: BytesMut,
    bytes: usize,
}

impl BufferPool {
    /// An empty buffer with so much room: the oldest one, if nobody reads it any more.
    pub(crate) fn take(&mut self, bytes: usize) -> BytesMut {
        let oldest = self.lent.front_mut();
        match oldest.is_some_and(|oldest| oldest.buffer.try_reclaim(bytes)) {
            true => self.pop_oldest(),
            false => BytesMut::with_capacity(bytes.next_multiple_of(CAPACITY_STEP)),
        }
    }

    /// Splits what is written off a buffer, and keeps the buffer for later.
    pub(crate) fn freeze(&mut self, mut buffer: BytesMut) -> Bytes {
        let frozen = buffer.split().freeze();
        let bytes = frozen.len() + buffer.capacity();
        self.bytes += bytes;
        self.lent.push_back(ReusableBuffer { buffer, bytes });
        while self.bytes > MAX_RETAINED_BYTES {
            // Somebody still reads them, or they are too short.
            self.pop_oldest();
        }
        frozen
    }

    fn pop_oldest(&mut self) -> BytesMut {
        let Some(oldest) = self.lent.pop_front() else {
            return BytesMut::new();
        };
        self.bytes -= oldest.bytes;
        oldest.buffer
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &mut BufferPool, length: usize) -> Bytes {
        let mut buffer = buffers.take(length);
        buffer.resize(length, 7);
        buffers.freeze(buffer)
    }

    #[test]
    fn a_buffer_that_was_read_is_used_again() {
        let mut buffers = BufferPool::default();
        let places: Vec<usize> = (0..10)
            .map(|more| filled(&mut buffers, 30_000 + more).as_ptr().addr())
            .collect();
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[test]
    fn a_buffer_that_is_read_is_left_alone() {
        let mut buffers = BufferPool::default();
        let kept = filled(&mut buffers, 30_000);
        let others = filled(&mut buffers, 30_000);
        assert_ne!(kept.as_ptr(), others.as_ptr());
        assert!(kept.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn memory_that_is_kept_has_a_limit() {
        let mut buffers = BufferPool::default();
        let all: Vec<Bytes> = (0..100).map(|_| filled(&mut buffers, 30_000)).collect();
        let kept = buffers.lent.iter().map(|lent| lent.bytes).sum::<usize>();
        assert_eq!(kept, buffers.bytes);
        assert!(
            (MAX_RETAINED_BYTES - 40_000..=MAX_RETAINED_BYTES).contains(&kept),
            "{kept}"
        );
        drop(all);
        buffers.clear();
        assert_eq!(buffers.lent.capacity(), 0);
    }
}
