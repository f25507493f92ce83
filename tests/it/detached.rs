//! Handlers under `#[rpc(detached)]`: what goes on after the deadline and without the caller, and what
//! ends it.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::{
    Bus, ClientOptions, Code, Context, ReplyStream, RunningServer, Server, Status, StreamOptions,
    Streaming, service,
};
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use tokio::sync::{Semaphore, oneshot};

use super::carriers::{Carrier, on_both_carriers};
use super::execution::{MAX_TIMEOUT, PATIENT, by_hand, failed_calls};
use super::until::until;

on_both_carriers! {
    a_detached_handler_outlives_its_deadline_however_its_request_came
    a_detached_handler_ends_with_the_grace_period
    a_detached_handler_outlives_the_reset_of_its_stream
    a_detached_handler_outlives_a_client_that_has_gone_silent
}

/// Waits for the gate in methods under `#[rpc(detached)]`, and counts the handlers.
#[derive(Clone)]
struct DetachedHandler(Arc<DetachedState>);

struct DetachedState {
    /// One permit for each handler that may finish.
    gate: Semaphore,
    started: AtomicUsize,
    live: AtomicUsize,
    finished: AtomicUsize,
    /// How the reads of `Collect` ended after the gate: `None` for the end of the client's messages.
    read_ends: Mutex<Vec<Option<Code>>>,
}

/// Numbers of handlers.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    started: usize,
    live: usize,
    finished: usize,
}

/// Counts one handler for as long as it is there.
struct LiveHandler(Arc<DetachedState>);

impl LiveHandler {
    fn finish(self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for LiveHandler {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl DetachedHandler {
    fn new() -> Self {
        Self(Arc::new(DetachedState {
            gate: Semaphore::new(0),
            started: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            read_ends: Mutex::default(),
        }))
    }

    async fn wait(&self) -> LiveHandler {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        self.0.live.fetch_add(1, Ordering::SeqCst);
        let live = LiveHandler(Arc::clone(&self.0));
        self.0.gate.acquire().await.unwrap().forget();
        live
    }

    fn counts(&self) -> Counts {
        Counts {
            started: self.0.started.load(Ordering::SeqCst),
            live: self.0.live.load(Ordering::SeqCst),
            finished: self.0.finished.load(Ordering::SeqCst),
        }
    }

    /// Checks that `calls` handlers have started and none has ended.
    fn check_all_live(&self, calls: usize) {
        let expected = Counts {
            started: calls,
            live: calls,
            finished: 0,
        };
        assert_eq!(self.counts(), expected);
    }

    /// Opens the gate for `calls` handlers, stops the server, which waits for them as for any handler, and
    /// checks that each has run to its end, once.
    async fn check_all_finish(&self, calls: usize, server: RunningServer) {
        self.0.gate.add_permits(calls);
        server.shutdown().await.unwrap();
        let expected = Counts {
            started: calls,
            live: 0,
            finished: calls,
        };
        assert_eq!(self.counts(), expected);
        assert_eq!(self.0.gate.available_permits(), 0);
    }

    /// Stops a server without a grace period, and checks that it has dropped all of its `calls` handlers.
    async fn check_all_dropped(&self, calls: usize, server: RunningServer) {
        server.shutdown().await.unwrap();
        let expected = Counts {
            started: calls,
            live: 0,
            finished: 0,
        };
        assert_eq!(self.counts(), expected);
    }

    fn read_ends(&self) -> Vec<Option<Code>> {
        self.0.read_ends.lock().unwrap().clone()
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
    async fn collect(&self, _ctx: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        let live = self.wait().await;
        let end = loop {
            match items.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(status) => break Some(status.code()),
            }
        };
        self.0.read_ends.lock().unwrap().push(end);
        live.finish();
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
        self.wait().await.finish();
        Ok(item)
    }
}

/// Serves the handler with settings of a test.
async fn serve(
    bus: &Bus,
    handler: &DetachedHandler,
    set: impl FnOnce(Server) -> Server,
) -> RunningServer {
    let server = Server::new(bus).add(StreamsServer::new(handler.clone()));
    set(server).start().await.unwrap()
}

/// Item that takes several messages.
fn large_item() -> Item {
    Item {
        data: vec![0; 2 * 1024 * 1024],
        ..Item::default()
    }
}

/// Returns a client whose streams take as long to open as a busy machine needs.
fn patient_client(bus: &Bus) -> StreamsClient {
    let options = StreamOptions::new().open_timeout(PATIENT);
    bus.client_with(ClientOptions::new().stream_options(options))
}

/// Calls each method under `#[rpc(detached)]` past its deadline: with a request in one message, with one
/// in parts, with a stream, and by hand. Returns the number of handlers.
async fn call_past_the_deadline(bus: &Bus) -> usize {
    let client = patient_client(bus);
    for item in [Item::default(), large_item()] {
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

/// Calls each method under `#[rpc(detached)]` with frames, as a stream and with a request in parts, and
/// drops both calls once their handlers run. Returns the number of handlers.
async fn call_and_reset(bus: &Bus, handler: &DetachedHandler) -> usize {
    let client = patient_client(bus);
    let mut items = client.collect().timeout(PATIENT).open().await.unwrap();
    items.send(Item::default()).await.unwrap();
    until(|| handler.counts().live == 1).await;
    drop(items);
    let call = client.repeat(large_item()).timeout(PATIENT);
    let call = tokio::spawn(call.into_future());
    until(|| handler.counts().live == 2).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    2
}

async fn a_detached_handler_outlives_its_deadline_however_its_request_came(carrier: Carrier) {
    let handler = DetachedHandler::new();
    let limited = |server: Server| server.max_timeout(MAX_TIMEOUT);
    let server = serve(&carrier.bus, &handler, limited).await;
    let calls = call_past_the_deadline(&carrier.bus).await;
    until(|| failed_calls(&server) == calls as u64).await;
    handler.check_all_live(calls);
    handler.check_all_finish(calls, server).await;
    let mut read_ends = handler.read_ends();
    read_ends.sort_by_key(Option::is_some);
    // The request of the call by hand was complete.
    assert_eq!(read_ends, [None, Some(Code::DeadlineExceeded)]);
}

async fn a_detached_handler_ends_with_the_grace_period(carrier: Carrier) {
    let without_grace = |server: Server| server.grace(Duration::ZERO);
    let handler = DetachedHandler::new();
    let limited = |server: Server| without_grace(server).max_timeout(MAX_TIMEOUT);
    let server = serve(&carrier.bus, &handler, limited).await;
    let calls = call_past_the_deadline(&carrier.bus).await;
    handler.check_all_live(calls);
    handler.check_all_dropped(calls, server).await;

    let handler = DetachedHandler::new();
    let server = serve(&carrier.bus, &handler, without_grace).await;
    let calls = call_and_reset(&carrier.bus, &handler).await;
    until(|| failed_calls(&server) == calls as u64).await;
    handler.check_all_live(calls);
    handler.check_all_dropped(calls, server).await;
}

async fn a_detached_handler_outlives_the_reset_of_its_stream(carrier: Carrier) {
    let handler = DetachedHandler::new();
    let server = serve(&carrier.bus, &handler, |server| server).await;
    let calls = call_and_reset(&carrier.bus, &handler).await;
    until(|| failed_calls(&server) == calls as u64).await;
    handler.check_all_live(calls);
    handler.check_all_finish(calls, server).await;
    assert_eq!(handler.read_ends(), [Some(Code::Canceled)]);
}

/// A client in a runtime of its own, with open calls. When its thread blocks, nothing of it runs any more:
/// it sends neither heartbeats nor RESET, and its subscriptions stay.
struct SilentClient {
    /// Makes the client silent.
    silence: oneshot::Sender<()>,
    /// Dropped to end the client.
    release: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl SilentClient {
    /// Number of calls that the client makes.
    const CALLS: usize = 2;

    fn start(carrier: &Carrier) -> Self {
        let in_process = carrier.bus.clone();
        let url = carrier.nats.as_ref().map(|nats| nats.url().to_owned());
        let (silence, silenced) = oneshot::channel();
        let (release, released) = mpsc::channel();
        let calls = async move {
            let bus = match url {
                Some(url) => Bus::connect(url).await.unwrap(),
                None => in_process,
            };
            let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
            let client: StreamsClient =
                bus.client_with(ClientOptions::new().stream_options(options));
            let _items = client.collect().timeout(PATIENT).open().await.unwrap();
            let call = client.repeat(large_item()).timeout(PATIENT);
            let _call = tokio::spawn(call.into_future());
            silenced.await.unwrap();
            released.recv().unwrap_err();
        };
        let thread = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(calls);
        });
        Self {
            silence,
            release,
            thread,
        }
    }
}

async fn a_detached_handler_outlives_a_client_that_has_gone_silent(carrier: Carrier) {
    let handler = DetachedHandler::new();
    let server = serve(&carrier.bus, &handler, |server| server).await;
    let client = SilentClient::start(&carrier);
    until(|| handler.counts().live == SilentClient::CALLS).await;
    client.silence.send(()).unwrap();
    until(|| failed_calls(&server) == SilentClient::CALLS as u64).await;
    handler.check_all_live(SilentClient::CALLS);
    handler.check_all_finish(SilentClient::CALLS, server).await;
    assert_eq!(handler.read_ends(), [Some(Code::Unavailable)]);
    drop(client.release);
    client.thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_the_end_of_a_detached_call_by_hand() {
    const REPLIES: &str = "replies.one";
    let carrier = Carrier::nats().await;
    let plain_client = async_nats::connect(carrier.nats.as_ref().unwrap().url());
    let plain_client = plain_client.await.unwrap();
    let handler = DetachedHandler::new();
    let set = |server: Server| server.max_timeout(MAX_TIMEOUT).allow_replies_to("replies");
    let server = serve(&carrier.bus, &handler, set).await;
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
    handler.check_all_live(1);
    handler.check_all_finish(1, server).await;
    // The next message of the server's connection: no reply came before it.
    carrier.bus.publish_raw(REPLIES, "marker").await.unwrap();
    let next = replies.next().await.unwrap();
    assert_eq!(&next.payload[..], b"marker");
}
