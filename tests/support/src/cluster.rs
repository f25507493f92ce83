//! Three nats-servers that form one cluster, with JetStream: what outlives the death of any one.

use std::net::TcpListener;

use crate::error::Error;
use crate::server::NatsServer;

/// As many servers as agree on something while one is dead.
const SERVERS: usize = 3;

/// A cluster of three nats-servers with JetStream on 127.0.0.1, called `n1`, `n2`, `n3`.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts the three. They need about a second more until they have elected who leads.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub async fn start() -> Result<Self, Error> {
        let ports = free_ports()?;
        let routes = ports
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .join(", ");
        let mut servers = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let config = format!(
                "server_name: n{}\ncluster {{ name: micro, listen: \"127.0.0.1:{port}\", routes: [ {routes} ] }}",
                index + 1
            );
            servers.push(
                NatsServer::builder()
                    .jetstream()
                    .config(&config)
                    .start()
                    .await?,
            );
        }
        Ok(Self { servers })
    }

    /// The URLs of all, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    /// The server of this name, to be killed and started again.
    pub fn server(&mut self, name: &str) -> Option<&mut NatsServer> {
        let index: usize = name.strip_prefix('n')?.parse().ok()?;
        self.servers.get_mut(index.checked_sub(1)?)
    }
}

/// Ports for the routes, which every server must know before any is started. They are free now.
fn free_ports() -> Result<[u16; SERVERS], Error> {
    let cannot = |source| Error::io("cannot find a free port", source);
    let mut ports = [0; SERVERS];
    let mut listeners = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(cannot)?;
        *port = listener.local_addr().map_err(cannot)?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
