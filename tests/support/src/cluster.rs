//! Three nats-servers that form one cluster with JetStream, which survives the loss of any one.

use std::net::TcpListener;

use crate::error::Error;
use crate::server::NatsServer;

/// Number of servers: the minimum that keeps a quorum without one of them.
const SERVERS: usize = 3;
/// Maximum number of starts with other route ports, see [`free_ports`].
const MAX_START_ATTEMPTS: usize = 5;

/// A cluster of three nats-servers with JetStream on 127.0.0.1, called `n1`, `n2`, `n3`.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts the three servers. The election of the leader takes about a second longer.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub async fn start() -> Result<Self, Error> {
        Self::start_with("").await
    }

    /// Starts the three servers with further lines in their configuration.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub async fn start_with(lines: &str) -> Result<Self, Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::start_on(free_ports()?, lines).await {
                Err(error) if is_port_taken(&error) && attempts < MAX_START_ATTEMPTS => {}
                result => return result,
            }
        }
    }

    async fn start_on(ports: [u16; SERVERS], lines: &str) -> Result<Self, Error> {
        let routes = ports
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .join(", ");
        let mut servers = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let config = format!(
                "server_name: n{}\ncluster {{ name: micro, listen: \"127.0.0.1:{port}\", routes: [ {routes} ] }}\n{lines}",
                index + 1
            );
            let server = NatsServer::builder().jetstream().config(&config);
            servers.push(server.start().await?);
        }
        Ok(Self { servers })
    }

    /// Returns the URLs of all servers, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(NatsServer::url).collect();
        urls.join(",")
    }

    /// Returns the server of this name, to kill it and start it again.
    pub fn server(&mut self, name: &str) -> Option<&mut NatsServer> {
        let index: usize = name.strip_prefix('n')?.parse().ok()?;
        self.servers.get_mut(index.checked_sub(1)?)
    }
}

/// Returns ports for the routes, which every server must know before any is started. They are free now,
/// but another process can take one before the server of that port starts.
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

fn is_port_taken(error: &Error) -> bool {
    error.to_string().contains("address already in use")
}
