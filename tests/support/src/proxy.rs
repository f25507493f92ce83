//! `Proxy`: a TCP proxy before a nats-server, which can hold, slow down and cut what passes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Length of a piece that is passed on at once, in bytes.
const PIECE: usize = 16 * 1024;
/// Number of pieces that are read before they can be passed on.
const READ_AHEAD: usize = 1;
/// Number of such pieces where an observer sees what a client sends. Most have a single small message.
const OBSERVED_READ_AHEAD: usize = 64 * 1024;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Function that sees each piece that a client sends, with the number of its connection.
type Observer = Arc<dyn Fn(u64, &[u8]) + Send + Sync>;
/// The observer of one connection.
type ConnectionObserver = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Treatment of the bytes of both directions. Each hold, close and cut has a number, and applies to the connections
/// that were accepted before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rules {
    /// Number of the next rule.
    next: u64,
    /// Directions whose bytes wait.
    held: Vec<(Direction, u64)>,
    /// Directions that are closed, while the others go on.
    closed: Vec<(Direction, u64)>,
    /// The last time that all connections were cut.
    cut: Option<u64>,
    /// Bytes per second in each direction.
    rate: Option<usize>,
    /// Whether new connections get nothing.
    ignores_new: bool,
}

impl Rules {
    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

/// The rules as they apply to one direction of one connection.
#[derive(Clone)]
struct DirectionRules {
    direction: Direction,
    /// Number of the first rule that was made after the connection was accepted.
    first: u64,
    rules: watch::Receiver<Rules>,
}

impl DirectionRules {
    fn applies(&self, rules: &[(Direction, u64)]) -> bool {
        let (direction, first) = (self.direction, self.first);
        rules
            .iter()
            .any(|(of, number)| *of == direction && *number >= first)
    }

    /// Waits until bytes may pass, and returns how many a second; `None` once the proxy has ended.
    async fn passing(&self) -> Option<Option<usize>> {
        let mut rules = self.rules.clone();
        let passing = rules.wait_for(|rules| !self.applies(&rules.held)).await;
        passing.ok().map(|rules| rules.rate)
    }

    /// Waits until the direction is closed, or the proxy has ended.
    async fn closed(&self) {
        let mut rules = self.rules.clone();
        let _ = rules.wait_for(|rules| self.applies(&rules.closed)).await;
    }
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
        Self::start_with(target, None).await
    }

    /// Starts a proxy that shows `observe` each piece that a client sends, as soon as it is sent and before any rule
    /// holds it up. The first argument is the number of the connection; a message may be split between two pieces.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn start_observed(
        target: u16,
        observe: impl Fn(u64, &[u8]) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(target, Some(Arc::new(observe))).await
    }

    async fn start_with(target: u16, observer: Option<Observer>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let rules = Arc::new(watch::Sender::new(Rules::default()));
        let accepting = accept(listener, target, Arc::clone(&rules), observer);
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
        self.rules.send_modify(|rules| {
            let number = rules.take_number();
            rules.held.push((direction, number));
        });
    }

    /// Closes one direction of the connections that exist.
    pub fn half_close(&self, direction: Direction) {
        self.rules.send_modify(|rules| {
            let number = rules.take_number();
            rules.closed.push((direction, number));
        });
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
        self.rules.send_modify(|rules| {
            let number = rules.take_number();
            rules.cut = Some(number);
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: u16,
    rules: Arc<watch::Sender<Rules>>,
    observer: Option<Observer>,
) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let observe = observer.clone().map(|observe| {
            let numbered = move |bytes: &[u8]| observe(number, bytes);
            Box::new(numbered) as ConnectionObserver
        });
        connections.spawn(connect(client, target, rules.subscribe(), observe));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection, to which holds and closes apply that come later.
async fn connect(
    client: TcpStream,
    target: u16,
    mut rules: watch::Receiver<Rules>,
    observe: Option<ConnectionObserver>,
) {
    let first = rules.borrow().next;
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
    let of = |direction| DirectionRules {
        direction,
        first,
        rules: rules.clone(),
    };
    let cut = async {
        let mut rules = rules.clone();
        let is_cut = |rules: &Rules| rules.cut.is_some_and(|number| number >= first);
        let _ = rules.wait_for(is_cut).await;
    };
    let up = pass(from_client, to_server, of(Direction::ToServer), observe);
    let down = pass(from_server, to_client, of(Direction::ToClient), None);
    tokio::select! {
        () = cut => {}
        // Both keep their halves open until both have ended.
        _ = async { tokio::join!(up, down) } => {}
    }
}

/// Passes on the bytes of one direction.
async fn pass(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rules: DirectionRules,
    observe: Option<ConnectionObserver>,
) {
    let read_ahead = match observe {
        Some(_) => OBSERVED_READ_AHEAD,
        None => READ_AHEAD,
    };
    let (pieces, waiting) = mpsc::channel(read_ahead);
    let reading = async {
        read_pieces(from, pieces, &rules, observe).await;
        // The pieces that were read are written all the same.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = write_pieces(&mut to, waiting, &rules) => {}
        () = reading => {}
    }
    let _ = to.shutdown().await;
}

async fn read_pieces(
    mut from: OwnedReadHalf,
    pieces: mpsc::Sender<Vec<u8>>,
    rules: &DirectionRules,
    observe: Option<ConnectionObserver>,
) {
    let mut piece = vec![0; PIECE];
    loop {
        let length = tokio::select! {
            read = from.read(&mut piece) => read.unwrap_or(0),
            () = rules.closed() => return,
        };
        if length == 0 {
            return;
        }
        if let Some(observe) = &observe {
            observe(&piece[..length]);
        }
        if pieces.send(piece[..length].to_vec()).await.is_err() {
            return;
        }
    }
}

async fn write_pieces(
    to: &mut OwnedWriteHalf,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    rules: &DirectionRules,
) {
    while let Some(piece) = waiting.recv().await {
        let Some(rate) = rules.passing().await else {
            return;
        };
        if to.write_all(&piece).await.is_err() {
            return;
        }
        if let Some(rate) = rate {
            let seconds = piece.len() as f64 / rate as f64;
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await; // sleep: the rate of a slow link
        }
    }
}
