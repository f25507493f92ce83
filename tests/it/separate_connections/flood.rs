//! A flood that comes as fast as it is read: async-nats sends nothing on its connection while it lasts.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use micro_runtime::{Reason, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::StreamsHandler;
use micro_tests::behavior::Blob;
use micro_tests::streams::{Item, StreamsClient, StreamsServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::attack::Attacked;
use super::system::start_nats;
use super::{LIMIT, connect};
use crate::until::until;

/// Time of the calls.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Length of the payload of a message of the flood.
const LENGTH: usize = 60_000;

/// A relay before NATS that floods the serving connection between the messages of NATS.
struct FloodingRelay {
    url: String,
    is_flooding: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl FloodingRelay {
    async fn start(nats: &NatsServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let (is_flooding, flooding) = watch::channel(false);
        let port = nats.port();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut relayed = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                relayed.spawn(relay(client, server, flooding.clone()));
            }
        });
        Self {
            url,
            is_flooding,
            _accepting: accepting,
        }
    }
}

async fn relay(client: TcpStream, server: TcpStream, flooding: watch::Receiver<bool>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let is_serving = Arc::new(watch::Sender::new(false));
    let found = Arc::clone(&is_serving);
    let up: JoinHandle<()> = tokio::spawn(async move {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut piece).await {
            // `CONNECT` has the name of the connection.
            let text = String::from_utf8_lossy(&piece[..length]);
            found.send_if_modified(|is_serving| {
                let is_new = !*is_serving && text.contains("/serving\"");
                *is_serving |= is_new;
                is_new
            });
            if to_server.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    });
    send_down(from_server, to_client, flooding, is_serving.subscribe()).await;
    up.abort();
}

async fn send_down(
    mut from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    flooding: watch::Receiver<bool>,
    is_serving: watch::Receiver<bool>,
) {
    // Of a subscription that does not exist: it is parsed and dropped.
    let mut flood = format!("MSG flood 1000000 {LENGTH}\r\n").into_bytes();
    flood.resize(flood.len() + LENGTH, b'x');
    flood.extend_from_slice(b"\r\n");
    let mut piece = vec![0; 64 * 1024];
    let mut flooding = flooding;
    loop {
        let is_flooding = *flooding.borrow_and_update() && *is_serving.borrow();
        let read = match is_flooding {
            // A message of the flood is never cut short.
            true if to_client.write_all(&flood).await.is_err() => return,
            true => from_server.read(&mut piece).now_or_never(),
            false => tokio::select! {
                read = from_server.read(&mut piece) => Some(read),
                changed = flooding.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
            },
        };
        match read {
            Some(Ok(length @ 1..)) if to_client.write_all(&piece[..length]).await.is_ok() => {}
            Some(_) => return,
            None => {}
        }
    }
}

/// On one connection no reply leaves before the flood ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_leave_while_the_serving_connection_is_flooded() {
    within(LIMIT, async {
        let (nats, _) = start_nats("").await;
        let relay = FloodingRelay::start(&nats).await;
        let attacked = Attacked::start(&nats, connect(&relay.url).await, LIMIT).await;
        let client = attacked.incoming();
        client.echo(Blob::default()).await.unwrap();
        relay.is_flooding.send_replace(true);
        let begun = Instant::now();
        // Longer than the time of the calls: the messages to itself by which the connection would know how long a
        // request has waited at NATS do not leave either.
        while begun.elapsed() < 2 * TIMEOUT {
            let calls = (0..8).map(|_| client.echo(Blob::default()).timeout(TIMEOUT).into_future());
            for called in join_all(calls).await {
                called.unwrap();
            }
        }
        relay.is_flooding.send_replace(false);
        attacked.shut_down().await;
    })
    .await;
}

/// They leave on one connection and arrive on another, and end with either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_connection_that_their_frames_leave_or_arrive_on() {
    within(LIMIT, async {
        let (nats, system) = start_nats("").await;
        let bus = connect(nats.url()).await;
        let handler = StreamsHandler::default();
        let server = Server::new(&bus).add(StreamsServer::new(handler.clone()));
        let server = server.start().await.unwrap();
        let others = connect(nats.url()).await;
        let client: StreamsClient = others.client();
        for role in ["replying", "serving"] {
            let (mut sender, mut replies) = client.echo().open().await.unwrap();
            sender.send(Item::default()).await.unwrap();
            replies.message().await.unwrap().unwrap();
            assert_eq!(handler.live_calls(), 1);
            system.kick(&format!("apart/{role}")).await;
            until(|| handler.live_calls() == 0).await;
            let status = replies.message().await.unwrap_err();
            assert_eq!(status.reason(), Some(Reason::PeerGone), "{role}: {status}");
        }
        server.shutdown().await.unwrap();
    })
    .await;
}
