//! `ReconnectDetector`: detects that the connection to NATS was lost and made anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::bus::Connection;

/// Interval at which consumers and replays look for a reconnect.
pub(super) const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Compares the connection's count of connects with that of the last look.
///
/// async-nats subscribes again by itself after a reconnect, and hides it from its users. But the server has
/// forgotten the pull requests of the old connection, and a server that restarted has also lost consumers
/// that lived in its memory. Without this, both would show by missing heartbeats only, many seconds later.
pub(super) struct ReconnectDetector {
    connection: Arc<Connection>,
    connects: u64,
}

impl ReconnectDetector {
    pub(super) fn new(connection: &Arc<Connection>) -> Self {
        Self {
            connects: connects(connection),
            connection: Arc::clone(connection),
        }
    }

    /// Returns whether the connection was made anew since this was last called, or since `new`.
    pub(super) fn has_reconnected(&mut self) -> bool {
        let connects = connects(&self.connection);
        std::mem::replace(&mut self.connects, connects) != connects
    }
}

fn connects(connection: &Connection) -> u64 {
    let jetstream = connection.jetstream_or_error();
    jetstream.map_or(0, |jetstream| {
        let statistics = jetstream.client.statistics();
        statistics.connects.load(Ordering::Relaxed)
    })
}
