//! Handlers under `#[rpc(detached)]`: what goes on after the deadline, and what ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::{Bus, Code, Context, ReplyStream, Server, Status, Streaming, service};
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use tokio::sync::Semaphore;

use super::carriers::{Carrier, on_both_carriers};
use super::execution::{MAX_TIMEOUT, PATIENT, by_hand, failed_calls};
use super::polling::until;

on_both_carriers! {
    a_detached_handler_outlives_its_deadline_however_its_request_came
    a_detached_handler_ends_with_the_grace_period
}

/// Waits for the gate in methods under `#[rpc(detached)]`, and counts the handlers.
#[derive(Clone)]
struct DetachedHandler(Arc<DetachedState>);

struct DetachedState {
    gate: Semaphore,
    live: AtomicUsize,
    finished: AtomicUsize,
}

/// Counts one handler for as long as it is there.
struct LiveHandler(Arc<DetachedState>);

impl Drop for LiveHandler {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl DetachedHandler {
    fn new() -> Self {
        Self(Arc::new(DetachedState {
            gate: Semaphore::new(0),
            live: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
        }))
    }

    async fn wait(&self) {
        self.0.live.fetch_add(1, Ordering::SeqCst);
        let _live = LiveHandler(Arc::clone(&self.0));
        let _opened = self.0.gate.acquire().await;
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }

    fn live(&self) -> usize {
        self.0.live.load(Ordering::SeqCst)
    }

    fn finished(&self) -> usize {
        self.0.finished.load(Ordering::SeqCst)
    }
}

#[service]
impl Streams for DetachedHandler {
    async fn count(
        &self,
        _ctx: Context,
        _request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        Ok(Streaming::from_iter([]))
    }

    #[rpc(detached)]
    async fn collect(&self, _ctx: Context, _items: Streaming<Item>) -> Result<Summary, Status> {
        self.wait().await;
        Ok(Summary::default())
    }

    async fn echo(
        &self,
        _ctx: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        Ok(items)
    }

    #[rpc(detached)]
    async fn repeat(&self, _ctx: Context, item: Item) -> Result<Item, Status> {
        self.wait().await;
        Ok(item)
    }
}

/// Calls each method under `#[rpc(detached)]` past its deadline: with a request in one message, with one
/// in parts, with a stream, and by hand. Returns the number of handlers.
async fn call_past_the_deadline(bus: &Bus) -> usize {
    let client: StreamsClient = bus.client();
    let large = Item {
        data: vec![0; 2 * 1024 * 1024],
        ..Item::default()
    };
    for item in [Item::default(), large] {
        let status = client.repeat(item).timeout(PATIENT).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    }
    let items = client.collect().timeout(PATIENT).open().await.unwrap();
    let status = items.finish().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let status = by_hand(bus, "Collect", Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    4
}

async fn a_detached_handler_outlives_its_deadline_however_its_request_came(carrier: Carrier) {
    let handler = DetachedHandler::new();
    let server = Server::new(&carrier.bus)
        .max_timeout(MAX_TIMEOUT)
        .add(StreamsServer::new(handler.clone()));
    let server = server.start().await.unwrap();
    let calls = call_past_the_deadline(&carrier.bus).await;
    assert_eq!((handler.live(), handler.finished()), (calls, 0));
    until(|| failed_calls(&server) == calls as u64).await;
    handler.0.gate.add_permits(calls);
    // The server waits for them as for any handler.
    server.shutdown().await.unwrap();
    assert_eq!((handler.live(), handler.finished()), (0, calls));
}

async fn a_detached_handler_ends_with_the_grace_period(carrier: Carrier) {
    let handler = DetachedHandler::new();
    let server = Server::new(&carrier.bus)
        .max_timeout(MAX_TIMEOUT)
        .grace(Duration::ZERO)
        .add(StreamsServer::new(handler.clone()));
    let server = server.start().await.unwrap();
    let calls = call_past_the_deadline(&carrier.bus).await;
    assert_eq!(handler.live(), calls);
    server.shutdown().await.unwrap();
    assert_eq!((handler.live(), handler.finished()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_the_end_of_a_detached_call_by_hand() {
    const REPLIES: &str = "replies.one";
    let carrier = Carrier::nats().await;
    let plain_client = async_nats::connect(carrier.nats.as_ref().unwrap().url());
    let plain_client = plain_client.await.unwrap();
    let handler = DetachedHandler::new();
    let server = Server::new(&carrier.bus)
        .max_timeout(MAX_TIMEOUT)
        .allow_replies_to("replies")
        .add(StreamsServer::new(handler.clone()));
    let server = server.start().await.unwrap();
    let mut replies = plain_client.subscribe(REPLIES).await.unwrap();
    plain_client
        .publish_with_reply("streams.v1.Streams.Collect", REPLIES, "".into())
        .await
        .unwrap();
    let end = replies.next().await.unwrap();
    let status = end
        .headers
        .unwrap()
        .get("Micro-Status")
        .unwrap()
        .to_string();
    assert_eq!(status, "4");
    handler.0.gate.add_permits(1);
    server.shutdown().await.unwrap();
    assert_eq!(handler.finished(), 1);
    // The next message of the server's connection: no reply came before it.
    carrier.bus.publish_raw(REPLIES, "marker").await.unwrap();
    let next = replies.next().await.unwrap();
    assert_eq!(&next.payload[..], b"marker");
}
