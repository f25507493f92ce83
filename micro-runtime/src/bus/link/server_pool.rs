//! `ServerPool`: the servers that a connection may use, and the order in which they are tried. Pure.

use async_nats::ServerAddr;

/// Servers of one connection: those of its URL, and those that the last one connected to has announced.
#[derive(Debug)]
pub(super) struct ServerPool {
    servers: Vec<PooledServer>,
    /// Whether announced servers are used.
    discovers: bool,
}

#[derive(Debug)]
struct PooledServer {
    address: ServerAddr,
    is_configured: bool,
    /// Number of attempts that have failed since the last one that did not.
    failures: u32,
}

impl ServerPool {
    pub(super) fn new(configured: &[ServerAddr], discovers: bool) -> Self {
        let servers = configured.iter().map(|address| PooledServer {
            address: address.clone(),
            is_configured: true,
            failures: 0,
        });
        Self {
            servers: servers.collect(),
            discovers,
        }
    }

    /// Returns every server once, in the order in which they are tried: fewest failures first, at random among equals,
    /// so that the clients of a server that is gone spread over the others. `last` is the server that was just lost or
    /// is about to stop.
    pub(super) fn round(&self, last: Option<&ServerAddr>) -> Vec<ServerAddr> {
        let mut servers = self.servers.iter().collect::<Vec<_>>();
        fastrand::shuffle(&mut servers);
        servers.sort_by_key(|server| (server.failures, Some(&server.address) == last));
        let addresses = servers.iter().map(|server| server.address.clone());
        addresses.collect()
    }

    /// Notes a connection to a server, which announces `announced` (`host:port`). Servers that were announced before
    /// and are no longer, as in a cluster whose members get new addresses, leave the pool.
    pub(super) fn note_connected(&mut self, address: &ServerAddr, announced: &[String]) {
        for server in &mut self.servers {
            if server.address == *address {
                server.failures = 0;
            }
        }
        if !self.discovers {
            return;
        }
        let announced = announced
            .iter()
            .filter_map(|url| self.parse(url))
            .collect::<Vec<_>>();
        self.servers.retain(|server| {
            let is_kept = server.is_configured || server.address == *address;
            is_kept || announced.contains(&server.address)
        });
        for address in announced {
            if self.servers.iter().all(|server| server.address != address) {
                self.servers.push(PooledServer {
                    address,
                    is_configured: false,
                    failures: 0,
                });
            }
        }
    }

    pub(super) fn note_failed(&mut self, address: &ServerAddr) {
        for server in &mut self.servers {
            if server.address == *address {
                server.failures = server.failures.saturating_add(1);
            }
        }
    }

    /// Reads an announced server, which has no scheme: it takes that of the first configured one, so that TLS stays
    /// required.
    fn parse(&self, url: &str) -> Option<ServerAddr> {
        let scheme = self
            .servers
            .first()
            .map_or("nats", |first| first.address.scheme());
        let url = match url.contains("://") {
            true => url.to_owned(),
            false => format!("{scheme}://{url}"),
        };
        let address: ServerAddr = url.parse().ok()?;
        (!address.host().is_empty()).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> ServerAddr {
        url.parse().unwrap()
    }

    fn pool(urls: &[&str]) -> ServerPool {
        let configured = urls.iter().map(|url| address(url)).collect::<Vec<_>>();
        ServerPool::new(&configured, true)
    }

    fn sorted(pool: &ServerPool) -> Vec<String> {
        let round = pool.round(None).into_iter();
        let mut urls = round
            .map(|one| one.as_url_str().to_owned())
            .collect::<Vec<_>>();
        urls.sort();
        urls
    }

    #[test]
    fn every_server_is_tried_once_and_the_one_that_was_lost_last() {
        let pool = pool(&["nats://a:1", "nats://b:1", "nats://c:1"]);
        let last = address("nats://a:1");
        let mut first = std::collections::HashSet::new();
        for _ in 0..100 {
            let round = pool.round(Some(&last));
            assert_eq!(round.len(), 3);
            assert_eq!(round[2], last);
            first.insert(round[0].as_url_str().to_owned());
        }
        assert_eq!(first.len(), 2, "the order is always the same");
    }

    #[test]
    fn servers_that_fail_come_behind_the_others() {
        let mut pool = pool(&["nats://a:1", "nats://b:1"]);
        pool.note_failed(&address("nats://a:1"));
        assert_eq!(pool.round(None)[1], address("nats://a:1"));
        // Fewer failures count more than having been lost.
        assert_eq!(
            pool.round(Some(&address("nats://b:1")))[1],
            address("nats://a:1")
        );
        pool.note_connected(&address("nats://a:1"), &[]);
        pool.note_failed(&address("nats://b:1"));
        assert_eq!(pool.round(None)[0], address("nats://a:1"));
    }

    #[test]
    fn announced_servers_join_and_leave_and_configured_ones_stay() {
        let mut pool = pool(&["tls://a:1"]);
        let a = address("tls://a:1");
        pool.note_connected(
            &a,
            &["a:1".into(), "b:2".into(), "[::1]:3".into(), "".into()],
        );
        assert_eq!(sorted(&pool), ["tls://[::1]:3", "tls://a:1", "tls://b:2"]);
        pool.note_connected(&address("tls://b:2"), &["c:4".into()]);
        assert_eq!(sorted(&pool), ["tls://a:1", "tls://b:2", "tls://c:4"]);
        let mut fixed = ServerPool::new(std::slice::from_ref(&a), false);
        fixed.note_connected(&a, &["b:2".into()]);
        assert_eq!(sorted(&fixed), ["tls://a:1"]);
    }
}
