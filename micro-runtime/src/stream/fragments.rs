//! `Fragments`: a message that arrives in parts, until it is complete. Pure.

use bytes::{Bytes, BytesMut};

use crate::stream::entries::MAX_COPIED_LEN;

/// The fragments of one message that have arrived.
///
/// Each is copied as it arrives: it keeps the buffer alive that it was read into, of 64 KiB at least and up to twice
/// its own length. A peer that sends a message byte by byte would make the receiver keep 64 KiB for each byte. Small
/// ones are joined at once, large ones at the end.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    list: Vec<Bytes>,
    /// The small fragments behind the last of `list`.
    small: BytesMut,
    bytes: usize,
}

impl Fragments {
    /// Adds the next fragment.
    pub(super) fn add(&mut self, fragment: &Bytes) {
        self.bytes += fragment.len();
        if fragment.len() <= MAX_COPIED_LEN {
            return self.small.extend_from_slice(fragment);
        }
        self.flush_small();
        self.list.push(Bytes::copy_from_slice(fragment));
    }

    /// Returns the length of all fragments in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the fragments in order, for [`join_fragments`].
    pub(super) fn into_list(mut self) -> Vec<Bytes> {
        self.flush_small();
        self.list
    }

    fn flush_small(&mut self) {
        if !self.small.is_empty() {
            self.list.push(std::mem::take(&mut self.small).freeze());
        }
    }
}

/// Joins the fragments of a complete message. It copies them unless there is one, and so is left to the reader,
/// who is not under the stream's lock.
pub(crate) fn join_fragments(fragments: &[Bytes]) -> Bytes {
    match fragments {
        [whole] => whole.clone(),
        fragments => {
            let mut joined = BytesMut::with_capacity(fragments.iter().map(Bytes::len).sum());
            for fragment in fragments {
                joined.extend_from_slice(fragment);
            }
            joined.freeze()
        }
    }
}
