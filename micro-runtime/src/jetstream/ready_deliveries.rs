//! `ReadyDeliveries`: deliveries that wait for a handler, and which of them one handler gets together. Does no I/O.

use std::collections::VecDeque;

use crate::jetstream::durable::Durable;
use crate::jetstream::pending_delivery::PendingDelivery;

/// Number of the attempt from which on an event is handled in a batch of its own.
const FIRST_ISOLATED_ATTEMPT: u64 = 3;

/// Deliveries that wait for a permit, in the order of arrival.
pub(super) struct ReadyDeliveries {
    queue: VecDeque<PendingDelivery>,
    /// Maximum number of deliveries that one handler gets together.
    max_batch: usize,
    first_isolated: u64,
}

impl ReadyDeliveries {
    pub(super) fn new(durable: &Durable, max_batch: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            max_batch,
            first_isolated: FIRST_ISOLATED_ATTEMPT.min(durable.attempt_limit().max(2)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, delivery: PendingDelivery) {
        self.queue.push_back(delivery);
    }

    /// Takes all deliveries.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = PendingDelivery> {
        self.queue.drain(..)
    }

    /// Takes the next deliveries for one handler: up to `max_batch`, or one that has failed before.
    ///
    /// A batch succeeds or fails as a whole. An event that cannot be handled would take all others of its
    /// batches with it, up to the dead letters. So from its third attempt on it comes alone, and from the second on
    /// where that is its last one; otherwise the second is still shared, since most failures are not the fault of one
    /// event.
    pub(super) fn next_batch(&mut self) -> Vec<PendingDelivery> {
        let is_isolated =
            |delivery: &PendingDelivery| delivery.info.attempt() >= self.first_isolated;
        let count = match self.queue.front() {
            Some(first) if is_isolated(first) => 1,
            _ => self
                .queue
                .iter()
                .take(self.max_batch)
                .take_while(|delivery| !is_isolated(delivery))
                .count(),
        };
        self.queue.drain(..count).collect()
    }
}
