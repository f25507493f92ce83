//! The buffers of a busy stream, used again in turns. Pure.
//!
//! A frame's memory is free again as soon as everybody has read it. Giving it back to the system
//! and asking for it once more costs more than copying the frame: each page is cleared first.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// As many rest at most: about a window's worth.
const MOST: usize = 32;
/// Frames differ a little in length.
const STEP: usize = 4096;

/// Buffers that were given out, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Buffers(VecDeque<BytesMut>);

impl Buffers {
    /// An empty buffer with so much room: the oldest one, if nobody reads it any more.
    pub(crate) fn take(&mut self, bytes: usize) -> BytesMut {
        let reclaimed = self.0.pop_front_if(|oldest| oldest.try_reclaim(bytes));
        reclaimed.unwrap_or_else(|| BytesMut::with_capacity(bytes.next_multiple_of(STEP)))
    }

    /// Splits what is written off a buffer, and keeps the buffer for later.
    pub(crate) fn freeze(&mut self, mut buffer: BytesMut) -> Bytes {
        let frozen = buffer.split().freeze();
        if self.0.len() == MOST {
            // Somebody still reads it, or it is too short.
            self.0.pop_front();
        }
        self.0.push_back(buffer);
        frozen
    }

    pub(crate) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &mut Buffers, length: usize) -> Bytes {
        let mut buffer = buffers.take(length);
        buffer.resize(length, 7);
        buffers.freeze(buffer)
    }

    #[test]
    fn a_buffer_that_was_read_is_used_again() {
        let mut buffers = Buffers::default();
        let places: Vec<usize> = (0..10)
            .map(|more| filled(&mut buffers, 30_000 + more).as_ptr().addr())
            .collect();
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[test]
    fn a_buffer_that_is_read_is_left_alone() {
        let mut buffers = Buffers::default();
        let kept = filled(&mut buffers, 30_000);
        let others = filled(&mut buffers, 30_000);
        assert_ne!(kept.as_ptr(), others.as_ptr());
        assert!(kept.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn no_more_are_kept_than_a_window_has() {
        let mut buffers = Buffers::default();
        let all: Vec<Bytes> = (0..100).map(|_| filled(&mut buffers, 30_000)).collect();
        assert_eq!(buffers.0.len(), MOST);
        drop(all);
        buffers.clear();
        assert_eq!(buffers.0.capacity(), 0);
    }
}
