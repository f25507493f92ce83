//! `LinkTraffic`: what is known of the loss of one physical connection.
//!
//! async-nats reports every loss as `Disconnected`. Whether the nats-server, the network or a message that cannot be
//! parsed was the cause has to be inferred from what it counts and reports besides:
//!
//! | cause | what shows it |
//! |---|---|
//! | NATS ends the connection: its limits, an expired login, a slow reader | an error (`-ERR`) of no known form before |
//! | NATS has stopped, or was killed | the next server has another id, or its cluster is smaller |
//! | one direction is dead | silence, which `pulse::watch` notices |
//! | the network breaks an idle connection | nothing was received before |
//! | a message that cannot be parsed | none of these, and its bytes were counted as received |
//!
//! A network that breaks a busy connection looks like the last row: `CutDetector` waits for repetitions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_nats::ServerInfo;

/// What one physical connection has received, and whether something explains its end.
#[derive(Default)]
pub(in crate::bus) struct LinkTraffic {
    /// Bytes received by the last look, and by the one before.
    last: AtomicU64,
    before: AtomicU64,
    /// Whether an error or silence has come before the end.
    is_explained: AtomicBool,
}

/// A physical connection that is lost.
pub(super) struct LinkLoss {
    /// Id of its nats-server.
    server_id: String,
    /// Addresses of the servers of its cluster.
    cluster: Vec<String>,
    /// Whether nothing explains the loss, and something was received just before.
    is_suspect: bool,
}

impl LinkTraffic {
    /// Notes the number of bytes received so far. `pulse::watch` looks each 50 ms while anything is unconfirmed, and
    /// each 2.5 s otherwise, so that of an idle connection the last few seconds count as "just before".
    pub(super) fn look(&self, received: u64) {
        let last = self.last.swap(received, Ordering::Relaxed);
        self.before.store(last, Ordering::Relaxed);
    }

    /// Notes that the end of the connection has a known cause: an error that NATS reports, or silence.
    pub(super) fn explain(&self) {
        self.is_explained.store(true, Ordering::Relaxed);
    }

    /// Returns what is known of the loss, once the connection is lost; `received` is the number of bytes in all.
    pub(super) fn loss(&self, info: ServerInfo, received: u64) -> LinkLoss {
        // Two looks: the last one may have come between the bytes and the loss that they caused.
        let has_received = received > self.before.load(Ordering::Relaxed);
        LinkLoss {
            server_id: info.server_id,
            cluster: info.connect_urls,
            is_suspect: has_received && !self.is_explained.load(Ordering::Relaxed),
        }
    }
}

impl LinkLoss {
    /// Returns whether async-nats may have ended the connection at something that it received.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// Returns whether the server that was lost is there still, by what the next one reports. A server has another id
    /// after a restart, and one that is gone is no longer announced by the others.
    pub(super) fn is_server_there(&self, next: &ServerInfo) -> bool {
        let is_announced = |url| next.connect_urls.contains(url);
        let is_cluster_whole = !self.cluster.is_empty() && self.cluster.iter().all(is_announced);
        self.server_id == next.server_id || is_cluster_whole
    }
}

#[cfg(test)]
#[path = "link_traffic_tests.rs"]
mod tests;
