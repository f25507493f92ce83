//! `RequestSizes`: the memory that the requests of one method take once they are decoded, and which are not counted.
//!
//! A type whose messages cannot grow, such as one of single fields, costs a call one comparison. It is known of each
//! type how much memory two bytes on the wire may become at most, so that a short message of another type needs no walk
//! either; a longer one is walked over, which allocates nothing.

use std::sync::{Arc, OnceLock};

use crate::descriptor::element_sizes::ElementSizes;

/// Maximum number of bytes of a request, and of what its elements take besides, that are not counted while it is
/// handled: the limits of calls bound them.
pub(crate) const UNCOUNTED_LEN: usize = 1024;

/// Sizes of the requests of one method once they are decoded.
#[derive(Debug)]
pub(crate) struct RequestSizes {
    elements: Arc<ElementSizes>,
    /// Full name of the message.
    name: &'static str,
    uncounted_len: OnceLock<usize>,
}

impl RequestSizes {
    /// Makes the sizes of requests of the type `name`, one of those in `elements`.
    pub(crate) fn new(elements: Arc<ElementSizes>, name: &'static str) -> Self {
        Self {
            elements,
            name,
            uncounted_len: OnceLock::new(),
        }
    }

    /// Returns the length in bytes of a message up to which its elements take at most [`UNCOUNTED_LEN`] bytes, whatever
    /// they are: that itself for a type that cannot grow. The first call reads the descriptors.
    #[inline]
    pub(crate) fn uncounted_len(&self) -> usize {
        let compute = || self.elements.uncounted_len(self.name);
        *self.uncounted_len.get_or_init(compute)
    }

    /// Returns whether a request counts while it is handled: one in protobuf if it or its elements take more than
    /// [`UNCOUNTED_LEN`] bytes, one in JSON if they may. A malformed one counts, since it must not be decoded.
    #[inline]
    pub(crate) fn counts(&self, request: &[u8], is_json: bool) -> bool {
        request.len() > self.uncounted_len() && (is_json || self.exceeds_uncounted(request))
    }

    fn exceeds_uncounted(&self, request: &[u8]) -> bool {
        let is_large = |size| size > UNCOUNTED_LEN;
        is_large(request.len()) || self.decoded_size(request).is_none_or(is_large)
    }

    /// Returns the bytes that the elements of a request in protobuf take, as [`ElementSizes::decoded_size`].
    pub(crate) fn decoded_size(&self, request: &[u8]) -> Option<usize> {
        self.elements.decoded_size(self.name, request)
    }
}

impl ElementSizes {
    /// Returns the length of a message of this type up to which its elements take at most [`UNCOUNTED_LEN`] bytes.
    fn uncounted_len(&self, name: &str) -> usize {
        let table = self.table();
        let element = table.find(name).map(|index| table.max_element_size(index));
        // An element is two bytes on the wire at least: key and length, or key and number.
        let length = (2 * UNCOUNTED_LEN).checked_div(element.unwrap_or_default());
        length.map_or(UNCOUNTED_LEN, |length| length.min(UNCOUNTED_LEN))
    }
}

#[cfg(test)]
#[path = "request_sizes_tests.rs"]
mod tests;
