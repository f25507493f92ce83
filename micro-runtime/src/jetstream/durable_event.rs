//! `DurableEvent`: a stored event with its place in the stream.

use std::ops::Deref;

use crate::context::Delivery;

/// A stored event with its place in the stream, as batches and replays yield it. Dereferences to the event.
///
/// # Examples
///
/// ```
/// use micro_runtime::jetstream::{Delivery, DurableEvent};
///
/// let delivered = DurableEvent { event: "an event".to_owned(), delivery: Delivery::for_test("S", 7) };
/// assert_eq!(delivered.len(), 8);
/// assert_eq!(delivered.delivery.sequence(), 7);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DurableEvent<E> {
    /// The event.
    pub event: E,
    /// Stream, sequence, time, and number of deliveries so far.
    pub delivery: Delivery,
}

impl<E> Deref for DurableEvent<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}
