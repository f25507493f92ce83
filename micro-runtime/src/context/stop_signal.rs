//! `StopSignal`: whether a server has begun to stop, for its handlers and its sources of events.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Signal of one server that it has begun to stop. Clones are the same signal.
///
/// Every context of a handler has one. The `Arc` makes a clone one atomic operation, where that of a token is a lock
/// that all calls would share.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopSignal(Arc<CancellationToken>);

/// Sends a [`StopSignal`] when dropped: of a server that is dropped without a stop, and of one whose start fails.
#[derive(Debug)]
pub(crate) struct StopGuard(StopSignal);

impl StopSignal {
    /// Sends the signal. Only the first time has an effect.
    pub(crate) fn send(&self) {
        self.0.cancel();
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the signal is sent. Cancel safe.
    pub(crate) async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Returns a guard that sends the signal when dropped.
    pub(crate) fn guard(&self) -> StopGuard {
        StopGuard(self.clone())
    }
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.0.send();
    }
}
