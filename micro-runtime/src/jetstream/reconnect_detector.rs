//! `ReconnectDetector`: detects that the connection to NATS was lost and made anew.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::Connection;

/// Interval at which consumers and replays look for a reconnect.
pub(super) const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Compares the connection's count of reconnects with that of the last look.
///
/// Subscriptions are made again on each new connection. But the server has forgotten the pull requests of the old one,
/// and a server that restarted has also lost consumers that lived in its memory. Without this, both would show by
/// missing heartbeats only, many seconds later.
pub(super) struct ReconnectDetector {
    connection: Arc<Connection>,
    reconnects: u64,
}

impl ReconnectDetector {
    pub(super) fn new(connection: &Arc<Connection>) -> Self {
        Self {
            reconnects: connection.refusals().reconnect_count(),
            connection: Arc::clone(connection),
        }
    }

    /// Returns whether the connection was made anew since this was last called, or since `new`.
    pub(super) fn has_reconnected(&mut self) -> bool {
        let reconnects = self.connection.refusals().reconnect_count();
        std::mem::replace(&mut self.reconnects, reconnects) != reconnects
    }
}
