//! `Reconnects`: the links of a connection but for the first, for those who act on a new one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::sync::lock;

/// Counts the links that were made after the first one.
pub(super) struct Reconnects {
    count: watch::Sender<u64>,
    /// When the last one was made.
    at: Mutex<Option<Instant>>,
    /// Number of events of the connection before it.
    events_before: AtomicU64,
}

impl Reconnects {
    pub(super) fn new() -> Self {
        Self {
            count: watch::Sender::new(0),
            at: Mutex::default(),
            events_before: AtomicU64::new(0),
        }
    }

    /// Notes the number of events before anything is subscribed to on a new link.
    pub(super) fn begin(&self, events: u64) {
        self.events_before.store(events, Ordering::Relaxed);
    }

    /// Notes that messages go through the new link.
    pub(super) fn complete(&self) {
        *lock(&self.at) = Some(Instant::now());
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) fn events_before(&self) -> u64 {
        self.events_before.load(Ordering::Relaxed)
    }

    /// Returns whether messages go through a new link for at most so long.
    pub(super) fn is_within(&self, time: Duration) -> bool {
        lock(&self.at).is_some_and(|at| at.elapsed() <= time)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    pub(super) fn count(&self) -> u64 {
        *self.count.borrow()
    }
}
