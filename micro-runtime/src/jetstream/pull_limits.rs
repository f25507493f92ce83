//! `PullLimits`: how much one pull request asks for: events, bytes and time.
//!
//! Without a limit of bytes NATS writes as many events as were requested, however long they are, and ends the
//! connection once 64 MiB of them wait (`MaxPending`): 300 events of 900 kB cost three connections and 30 s, and take
//! 0.6 s with 8 MiB for each request. The limit is of one request. A consumer has two at most,
//! the second one once half of the first has arrived.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::Connection;
use crate::jetstream::heartbeat_watch::IDLE_HEARTBEAT;
use crate::jetstream::pull_status::PullLimit;

/// Time after which the server ends a pull request that has not been fulfilled.
const REQUEST_EXPIRY: Duration = Duration::from_secs(30);
/// Maximum number of bytes that one request asks for. NATS ends a connection for which 64 MiB wait.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// Number of bytes that one request of each consumer of a connection asks for, together.
const MAX_CONNECTION_BYTES: usize = 32 * 1024 * 1024;
/// Room for the subjects of the longest event that NATS takes, in bytes: a request for less than the next event ends at
/// once, and so would all that follow.
const MAX_SUBJECTS_LEN: usize = 8 * 1024;
/// Maximum number of times that requests for one event are doubled.
const MAX_ENLARGEMENTS: u32 = 8;
/// Time after which a probe ends.
const PROBE_EXPIRY: Duration = Duration::from_secs(5);
/// Interval of the heartbeats of a probe.
const PROBE_HEARTBEAT: Duration = Duration::from_millis(50);

/// The limits of the requests for one consumer: those of this library, and those that its operator has set, which are
/// known once a request exceeds one.
pub(super) struct PullLimits {
    /// Knows the number of its consumers, this one among them.
    connection: Arc<Connection>,
    max_batch: usize,
    expiry: Duration,
    max_bytes: usize,
    /// Number of times that the bytes were doubled.
    enlargements: u32,
}

impl PullLimits {
    pub(super) fn new(connection: &Arc<Connection>) -> Self {
        connection.mux().counts().add_pull_consumer();
        Self {
            connection: Arc::clone(connection),
            max_batch: usize::MAX,
            expiry: REQUEST_EXPIRY,
            max_bytes: usize::MAX,
            enlargements: 0,
        }
    }

    /// Returns the maximum number of events.
    pub(super) fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Returns a request for so many events.
    pub(super) fn request(&self, batch: usize) -> String {
        self.request_of(batch, self.expiry, IDLE_HEARTBEAT)
    }

    /// Returns a request for one event, whose heartbeats come soon.
    pub(super) fn probe(&self) -> String {
        self.request_of(1, PROBE_EXPIRY.min(self.expiry), PROBE_HEARTBEAT)
    }

    fn request_of(&self, batch: usize, expiry: Duration, heartbeat: Duration) -> String {
        format!(
            r#"{{"batch":{batch},"max_bytes":{},"expires":{},"idle_heartbeat":{}}}"#,
            self.bytes(),
            expiry.as_nanos(),
            // NATS takes no longer ones.
            heartbeat.min(expiry / 2).as_nanos()
        )
    }

    /// Returns the number of bytes of a request, as NATS counts them: payload, headers and subjects.
    fn bytes(&self) -> usize {
        let consumers = self.connection.mux().counts().pull_consumers().max(1);
        let longest = self.connection.max_payload() + MAX_SUBJECTS_LEN;
        let share = (MAX_CONNECTION_BYTES / consumers).min(MAX_REQUEST_BYTES);
        let bytes = share.max(longest).saturating_mul(1 << self.enlargements);
        bytes.min(self.max_bytes)
    }

    /// Doubles the bytes of further requests, as `max_payload` may have been higher when the next event was stored.
    /// Returns `false` if that is not possible.
    pub(super) fn enlarge(&mut self) -> bool {
        let is_possible = self.enlargements < MAX_ENLARGEMENTS && self.bytes() < self.max_bytes;
        self.enlargements += u32::from(is_possible);
        is_possible
    }

    /// Keeps to a limit from now on. Returns `false` if that changes no request.
    pub(super) fn apply(&mut self, limit: PullLimit) -> bool {
        fn lower<T: Ord>(limit: &mut T, to: T) -> bool {
            let is_lower = to < *limit;
            if is_lower {
                *limit = to;
            }
            is_lower
        }
        match limit {
            PullLimit::Batch(events) => lower(&mut self.max_batch, events),
            PullLimit::Expiry(expiry) => lower(&mut self.expiry, expiry),
            PullLimit::Bytes(bytes) => lower(&mut self.max_bytes, bytes),
            PullLimit::Waiting => false,
        }
    }
}

impl Drop for PullLimits {
    fn drop(&mut self) {
        self.connection.mux().counts().remove_pull_consumer();
    }
}

#[cfg(test)]
#[path = "pull_limits_tests.rs"]
mod tests;
