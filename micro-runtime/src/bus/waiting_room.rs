//! `WaitingRoom`: bounds the messages that wait for the connection.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bus::outgoing::MAX_WAITING;

/// Room for the messages that wait. Each is kept by its sender, which gives it up when it expires or is dropped:
/// nothing is handed to async-nats before there is a connection.
pub(super) struct WaitingRoom(Semaphore);

impl WaitingRoom {
    /// Takes a place until the result is dropped; `None` if there is none.
    pub(super) fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}

impl Default for WaitingRoom {
    fn default() -> Self {
        Self(Semaphore::new(MAX_WAITING))
    }
}
