//! `LinkTraffic`: what is known of the loss of one physical connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_nats::ServerInfo;

/// What one physical connection has received, and whether something explains its end.
#[derive(Default)]
pub(in crate::bus) struct LinkTraffic {
    /// Bytes received by the last look, and by the one before.
    last: AtomicU64,
    before: AtomicU64,
    is_explained: AtomicBool,
}

/// A physical connection that is lost.
pub(super) struct LinkLoss {
    server_id: String,
    /// Addresses of the servers of its cluster.
    cluster: Vec<String>,
    /// Whether nothing explains the loss, and something was received just before.
    is_suspect: bool,
}

impl LinkTraffic {
    /// Notes the number of bytes received so far.
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
mod tests {
    use super::*;

    fn info(id: &str, cluster: &[&str]) -> ServerInfo {
        ServerInfo {
            server_id: id.to_owned(),
            connect_urls: cluster.iter().map(|&url| url.to_owned()).collect(),
            ..ServerInfo::default()
        }
    }

    #[test]
    fn a_loss_is_suspect_behind_bytes_that_came_since_the_look_before_the_last() {
        let traffic = LinkTraffic::default();
        let is_suspect = |received| traffic.loss(info("a", &[]), received).is_suspect();
        assert!(is_suspect(100), "nothing was looked at");
        traffic.look(100);
        assert!(is_suspect(100));
        traffic.look(100);
        assert!(!is_suspect(100));
        assert!(is_suspect(101));
        traffic.explain();
        assert!(!is_suspect(101));
    }

    #[test]
    fn a_server_is_there_by_its_id_or_by_its_cluster() {
        let lost = |cluster| LinkTraffic::default().loss(info("a", cluster), 1);
        for (cluster, id, announced, expected) in [
            (&[][..], "a", &[][..], true),
            (&[], "b", &[], false),
            (&["a:1", "b:1"], "b", &["b:1", "a:1"], true),
            (&["a:1", "b:1"], "b", &["b:1"], false),
        ] {
            let found = lost(cluster).is_server_there(&info(id, announced));
            assert_eq!(found, expected, "{cluster:?} {id} {announced:?}");
        }
    }
}
