//! `QueuedBytes`: the memory of the events of one subscription that wait for a worker.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::memory_budget::{HeldBytes, MemoryBudget, QUEUE_STEP};
use crate::sync::lock;

/// The bytes of the events that are queued, and the memory that is taken for them in steps: most events change one
/// counter.
pub(super) struct QueuedBytes {
    bytes: AtomicUsize,
    /// Bytes of `held`; 0 while some are given back.
    taken: AtomicUsize,
    held: Mutex<HeldBytes>,
}

impl QueuedBytes {
    pub(super) fn of(memory: &Arc<MemoryBudget>) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            held: Mutex::new(HeldBytes::of(memory)),
        }
    }

    /// Counts an event with so many bytes; `false` if they are not left. Each is taken off again by one
    /// [`remove`](Self::remove).
    #[must_use]
    pub(super) fn try_add(&self, bytes: usize) -> bool {
        let total = self.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        total.saturating_sub(QUEUE_STEP) <= self.taken.load(Ordering::SeqCst)
            || self.take_more(bytes)
    }

    #[cold]
    fn take_more(&self, bytes: usize) -> bool {
        let mut held = lock(&self.held);
        let fits = held.try_set_queue(self.bytes.load(Ordering::SeqCst));
        if !fits {
            self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
        self.taken.store(held.bytes(), Ordering::SeqCst);
        fits
    }

    pub(super) fn remove(&self, bytes: usize) {
        let left = self.bytes.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        let taken = self.taken.load(Ordering::SeqCst);
        // Two steps less, so that a queue of about one length takes and gives back nothing.
        if taken > 0 && (left == 0 || left + 2 * QUEUE_STEP < taken) {
            self.give_back();
        }
    }

    #[cold]
    fn give_back(&self) {
        let mut held = lock(&self.held);
        // An event that is counted from now on waits for the lock; one that was counted before is seen here.
        self.taken.store(0, Ordering::SeqCst);
        held.shrink_to_queue(self.bytes.load(Ordering::SeqCst));
        self.taken.store(held.bytes(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_is_taken_from_the_budget_and_given_back() {
        let memory = MemoryBudget::new(10 * QUEUE_STEP);
        let queued = QueuedBytes::of(&memory);
        assert!(queued.try_add(QUEUE_STEP));
        assert_eq!(memory.used(), 0, "the first step needs none");
        let mut count = 1;
        while queued.try_add(QUEUE_STEP / 4) {
            count += 1;
        }
        assert_eq!((count, memory.used()), (41, memory.limit()));
        assert_eq!(memory.refused(), 1);
        for _ in 1..count {
            queued.remove(QUEUE_STEP / 4);
        }
        assert!(memory.used() <= 2 * QUEUE_STEP, "{}", memory.used());
        queued.remove(QUEUE_STEP);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn threads_that_queue_and_take_at_once_leave_nothing() {
        let memory = MemoryBudget::new(100 * QUEUE_STEP);
        let queued = QueuedBytes::of(&memory);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let queued = &queued;
                scope.spawn(move || {
                    for round in 0..2_000 {
                        let lengths = [(); 8].map(|()| (round * 7919 + seed * 104_729) % 200_000);
                        let added = lengths.map(|length| queued.try_add(length).then_some(length));
                        added
                            .into_iter()
                            .flatten()
                            .for_each(|length| queued.remove(length));
                    }
                });
            }
        });
        assert_eq!(queued.bytes.load(Ordering::SeqCst), 0);
        assert_eq!(memory.used(), 0);
    }
}
