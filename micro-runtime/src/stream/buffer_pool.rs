//! `BufferPool`: write buffers of a busy stream, used again in turn. Pure.
//!
//! A frame's buffer is free as soon as its last reader has dropped it, which is when async-nats has written it.
//! Returning 32 KiB to the allocator and asking for them again costs more than copying the frame: glibc gives the
//! end of its heap back to the system above 128 KiB, and each page that is fetched again is cleared first.
//! Reuse took the sending side from 1.1 to 0.7 µs a message of 1 KiB (docs/PERFORMANCE.md, "Streams").

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Maximum total length of the buffers kept for one stream, in bytes.
const MAX_RETAINED_BYTES: usize = 1024 * 1024;
/// Granularity of new buffers in bytes, so that frames that differ a little fit into the same buffer.
const CAPACITY_STEP: usize = 4096;

/// Buffers that were handed out as frames, the oldest first.
///
/// A buffer is used again only when no reader holds a part of it: [`BytesMut::try_reclaim`] succeeds then only,
/// so that a frame in use is never overwritten. Frames are written in order, so that the oldest is free first,
/// and trying the others would be in vain.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    lent: VecDeque<ReusableBuffer>,
    /// Total length of the buffers in `lent`.
    bytes: usize,
}

#[derive(Debug)]
struct ReusableBuffer {
    /// The empty rest of a buffer whose filled part is the frame.
    buffer: BytesMut,
    bytes: usize,
}

impl BufferPool {
    /// Returns an empty buffer with room for `bytes`: the oldest one if it is free, else a new one.
    pub(crate) fn take(&mut self, bytes: usize) -> BytesMut {
        let oldest = self.lent.front_mut();
        match oldest.is_some_and(|oldest| oldest.buffer.try_reclaim(bytes)) {
            true => self.pop_oldest(),
            false => BytesMut::with_capacity(bytes.next_multiple_of(CAPACITY_STEP)),
        }
    }

    /// Splits the written part off a buffer, and keeps the buffer for [`take`](Self::take). Beyond
    /// [`MAX_RETAINED_BYTES`] the oldest are dropped: they are still in use, or too short.
    pub(crate) fn freeze(&mut self, mut buffer: BytesMut) -> Bytes {
        let frozen = buffer.split().freeze();
        let bytes = frozen.len() + buffer.capacity();
        self.bytes += bytes;
        self.lent.push_back(ReusableBuffer { buffer, bytes });
        while self.bytes > MAX_RETAINED_BYTES {
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

    /// Drops all buffers. Those in use are freed by their readers.
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
    fn a_released_buffer_is_used_again() {
        let mut buffers = BufferPool::default();
        let places: Vec<usize> = (0..10)
            .map(|more| filled(&mut buffers, 30_000 + more).as_ptr().addr())
            .collect();
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[test]
    fn a_buffer_in_use_is_not_touched() {
        let mut buffers = BufferPool::default();
        let kept = filled(&mut buffers, 30_000);
        let others = filled(&mut buffers, 30_000);
        assert_ne!(kept.as_ptr(), others.as_ptr());
        assert!(kept.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn retained_memory_has_a_limit() {
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
