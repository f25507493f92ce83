//! Limits the number of handlers that run at a time. Never waits.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what runs, and says no above the limit. Never waits.
pub(crate) struct ConcurrencyLimit {
    pub(crate) limit: usize,
    running: AtomicUsize,
}

impl ConcurrencyLimit {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            running: AtomicUsize::new(0),
        }
    }

    pub(crate) fn try_acquire(&self) -> bool {
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        if before >= self.limit {
            self.release();
            return false;
        }
        true
    }

    /// How many are in now.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn release(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_in_as_many_as_its_limit() {
        let gate = ConcurrencyLimit::new(2);
        assert!(gate.try_acquire());
        assert!(gate.try_acquire());
        assert!(!gate.try_acquire());
        gate.release();
        assert!(gate.try_acquire());
        assert!(!ConcurrencyLimit::new(0).try_acquire());
    }
}
