//! `Proxy`: a TCP proxy before a nats-server, which can hold, slow down and cut what passes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Length of a piece that is passed on at once, in bytes.
const PIECE: usize = 16 * 1024;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What happens to the bytes of both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    /// Directions whose bytes wait.
    held: Vec<Direction>,
    /// Directions that are closed, while the others go on.
    closed: Vec<Direction>,
    /// Bytes per second in each direction.
    rate: Option<usize>,
    /// Whether new connections get nothing.
    ignores_new: bool,
    /// Number of times that all connections were cut.
    cuts: u32,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    rules: Arc<watch::Sender<Rules>>,
    task: AbortHandle,
}

impl Proxy {
    /// Starts a proxy to a port of this machine.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn start(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let rules = Arc::new(watch::Sender::new(Rules::default()));
        let accepting = accept(listener, target, Arc::clone(&rules));
        Ok(Self {
            port,
            rules,
            task: tokio::spawn(accepting).abort_handle(),
        })
    }

    /// URL of the proxy, for NATS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Lets the bytes of one direction wait, in the connections that exist.
    pub fn hold(&self, direction: Direction) {
        self.rules.send_modify(|rules| rules.held.push(direction));
    }

    /// Closes one direction of the connections that exist.
    pub fn half_close(&self, direction: Direction) {
        self.rules.send_modify(|rules| rules.closed.push(direction));
    }

    /// Lets everything pass again, in both directions, and new connections too.
    pub fn release(&self) {
        self.rules.send_modify(|rules| {
            rules.held.clear();
            rules.ignores_new = false;
        });
    }

    /// Accepts new connections and passes nothing on, as a load balancer before a host that is away.
    pub fn ignore_new(&self) {
        self.rules.send_modify(|rules| rules.ignores_new = true);
    }

    /// Passes on so many bytes per second in each direction.
    pub fn limit(&self, rate: usize) {
        self.rules.send_modify(|rules| rules.rate = Some(rate));
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.rules.send_modify(|rules| rules.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: u16, rules: Arc<watch::Sender<Rules>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connect(client, target, rules.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection, to which holds and closes apply that come later.
async fn connect(client: TcpStream, target: u16, mut rules: watch::Receiver<Rules>) {
    let begun = rules.borrow().clone();
    let is_served = rules.wait_for(|rules| !rules.ignores_new).await.is_ok();
    if !is_served {
        return;
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cut = {
        let mut rules = rules.clone();
        async move {
            let _ = rules.wait_for(|rules| rules.cuts != begun.cuts).await;
        }
    };
    let counts = |direction: Direction| {
        let is_same = move |one: &&Direction| **one == direction;
        (
            begun.held.iter().filter(is_same).count(),
            begun.closed.iter().filter(is_same).count(),
        )
    };
    let up = pass(
        from_client,
        to_server,
        Direction::ToServer,
        counts(Direction::ToServer),
        rules.clone(),
    );
    let down = pass(
        from_server,
        to_client,
        Direction::ToClient,
        counts(Direction::ToClient),
        rules.clone(),
    );
    tokio::select! {
        () = cut => {}
        // Both keep their halves open until both have ended.
        _ = async { tokio::join!(up, down) } => {}
    }
}

/// Passes on the bytes of one direction. `before` is how often it was held and closed before the connection began.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    before: (usize, usize),
    mut rules: watch::Receiver<Rules>,
) {
    let count = move |all: &[Direction]| all.iter().filter(|one| **one == direction).count();
    let mut piece = vec![0; PIECE];
    loop {
        let mut closing = rules.clone();
        let length = tokio::select! {
            read = from.read(&mut piece) => match read {
                Ok(length) if length > 0 => length,
                _ => break,
            },
            _ = closing.wait_for(|rules| count(&rules.closed) > before.1) => break,
        };
        let passing = rules.wait_for(|rules| count(&rules.held) <= before.0).await;
        let Ok(rate) = passing.map(|rules| rules.rate) else {
            break;
        };
        if to.write_all(&piece[..length]).await.is_err() {
            break;
        }
        if let Some(rate) = rate {
            // sleep: the rate of a slow link.
            tokio::time::sleep(Duration::from_secs_f64(length as f64 / rate as f64)).await;
        }
    }
    let _ = to.shutdown().await;
}
