//! `Gate`: holds the messages of a new link until NATS has everything that was sent on the one before.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Closed while messages may still be on their way through the link before: on two links they could overtake each
/// other.
pub(super) struct Gate {
    is_open: AtomicBool,
    opened: Notify,
}

impl Gate {
    pub(super) fn new(is_open: bool) -> Self {
        Self {
            is_open: AtomicBool::new(is_open),
            opened: Notify::new(),
        }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.opened.notify_waiters();
    }

    /// Returns once the gate is open. Cancel safe.
    pub(super) async fn opened(&self) {
        while !self.is_open() {
            let mut told = std::pin::pin!(self.opened.notified());
            told.as_mut().enable();
            if !self.is_open() {
                told.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_told() {
        assert!(Gate::new(true).opened().now_or_never().is_some());
        let gate = Gate::new(false);
        let mut waiting = std::pin::pin!(gate.opened());
        assert!(waiting.as_mut().now_or_never().is_none());
        gate.open();
        waiting.await;
        assert!(gate.opened().now_or_never().is_some());
    }
}
