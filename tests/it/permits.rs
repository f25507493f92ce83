//! Holders of a permit: the thread of a handler that may block, a reply that is offered and not taken, a call by hand.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use micro_runtime::{
    Bus, ClientOptions, Code, Context, ErrorKind, Reason, ReplyStream, RunningServer, Server,
    ServiceOptions, Status, StreamOptions, Streaming, service,
};
use micro_testkit::{NatsServer, within};
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use micro_tests::{ExecutionProbe, StreamsHandler};
use prost::Message as _;

use super::carriers::{Carrier, on_both_carriers};
use super::execution::{PATIENT, by_hand};
use super::until::until;

on_both_carriers! {
    the_thread_of_a_call_that_has_ended_holds_its_permit
    a_stop_waits_for_the_threads_of_calls_that_have_ended
    a_stop_fails_while_threads_outlast_the_grace_period
    calls_by_hand_count_as_streams
}

/// Time after which callers give up here: longer than a busy machine takes to begin a handler.
const SHORT: Duration = Duration::from_millis(400);
/// Longest time that a handler blocks its thread.
const MAX_BLOCKED: Duration = Duration::from_secs(30);

/// Handlers that block their threads until the gate is open.
#[derive(Clone, Default)]
struct GatedHandler(Arc<Gate>);

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct GateState {
    is_open: bool,
    started: usize,
    running: usize,
    most_running: usize,
}

impl GatedHandler {
    fn block(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.started += 1;
        state.running += 1;
        state.most_running = state.most_running.max(state.running);
        let waiting = |state: &mut GateState| !state.is_open;
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, MAX_BLOCKED, waiting);
        waited.unwrap().0.running -= 1;
    }

    fn set_open(&self, is_open: bool) {
        self.0.state.lock().unwrap().is_open = is_open;
        self.0.changed.notify_all();
    }

    fn state(&self) -> GateState {
        *self.0.state.lock().unwrap()
    }
}

#[service]
impl Streams for GatedHandler {
    async fn count(
        &self,
        _ctx: Context,
        _request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        Ok(Streaming::from_iter([]))
    }

    #[rpc(blocking, max_concurrent = 1)]
    async fn collect(&self, _ctx: Context, mut items: Streaming<Item>) -> Result<Summary, Status> {
        while items.message().await?.is_some() {}
        self.block();
        Ok(Summary::default())
    }

    async fn echo(
        &self,
        _ctx: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        Ok(items)
    }

    #[rpc(blocking, max_concurrent = 1)]
    async fn repeat(&self, _ctx: Context, _item: Item) -> Result<Item, Status> {
        self.block();
        Ok(Item::default())
    }
}

/// The ways to a handler under `#[rpc(blocking)]`.
#[derive(Clone, Copy, Debug)]
enum BlockingWay {
    Unary,
    InParts,
    AllInstances,
    ClientStreaming,
    ByHand,
}

const WAYS: [BlockingWay; 5] = [
    BlockingWay::Unary,
    BlockingWay::InParts,
    BlockingWay::AllInstances,
    BlockingWay::ClientStreaming,
    BlockingWay::ByHand,
];

impl BlockingWay {
    async fn call(self, bus: &Bus, timeout: Duration) -> Result<(), Status> {
        let options = StreamOptions::new().open_timeout(PATIENT);
        let client: StreamsClient = bus.client_with(ClientOptions::new().stream_options(options));
        let large = Item {
            data: vec![0; 2 * 1024 * 1024],
            ..Item::default()
        };
        match self {
            Self::Unary => client
                .repeat(Item::default())
                .timeout(timeout)
                .await
                .map(drop),
            Self::InParts => client.repeat(large).timeout(timeout).await.map(drop),
            Self::AllInstances => {
                let call = client.repeat(Item::default()).timeout(timeout).to_all();
                let reply = call.expected(1).await?.next().await.unwrap();
                reply.result.map(drop)
            }
            Self::ClientStreaming => {
                let items = client.collect().timeout(timeout).open().await?;
                items.finish().await.map(drop)
            }
            Self::ByHand => {
                let client = bus.dynamic("streams.v1.Streams").await?;
                let call = client.call_raw("Collect", Bytes::new()).timeout(timeout);
                call.await.map(drop)
            }
        }
    }
}

async fn serve(bus: &Bus, handler: &GatedHandler, grace: Duration) -> RunningServer {
    let server = Server::new(bus).add(StreamsServer::new(handler.clone()));
    server.grace(grace).start().await.unwrap()
}

async fn the_thread_of_a_call_that_has_ended_holds_its_permit(carrier: Carrier) {
    let handler = GatedHandler::default();
    let server = serve(&carrier.bus, &handler, PATIENT).await;
    for (number, way) in (1..).zip(WAYS) {
        handler.set_open(false);
        // By turns the deadline passes, and the caller drops its call.
        let started = || handler.state().started == number;
        match number % 2 {
            0 => {
                let status = way.call(&carrier.bus, SHORT).await.unwrap_err();
                assert_eq!(status.code(), Code::DeadlineExceeded, "{way:?}: {status}");
                until(started).await;
            }
            _ => tokio::select! {
                result = way.call(&carrier.bus, PATIENT) => panic!("{way:?}: {result:?}"),
                () = until(started) => {}
            },
        }
        for _ in 0..20 {
            let status = way.call(&carrier.bus, PATIENT).await.unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted, "{way:?}: {status}");
        }
        assert_eq!(handler.state().running, 1, "{way:?}");
        handler.set_open(true);
        until(|| handler.state().running == 0).await;
    }
    assert_eq!(handler.state().most_running, 1);
    assert_eq!(handler.state().started, WAYS.len());
    // The permits are free again.
    for way in WAYS {
        until_served(&carrier.bus, way).await;
    }
    server.shutdown().await.unwrap();
}

/// Calls until the permit of a thread that has just ended is free.
async fn until_served(bus: &Bus, way: BlockingWay) {
    let served = async {
        while let Err(status) = way.call(bus, PATIENT).await {
            assert_eq!(status.code(), Code::ResourceExhausted, "{way:?}: {status}");
        }
    };
    within(PATIENT, served).await;
}

async fn a_stop_waits_for_the_threads_of_calls_that_have_ended(carrier: Carrier) {
    for way in WAYS {
        let handler = GatedHandler::default();
        let server = serve(&carrier.bus, &handler, PATIENT).await;
        tokio::select! {
            result = way.call(&carrier.bus, PATIENT) => panic!("{way:?}: {result:?}"),
            () = until(|| handler.state().started == 1) => {}
        }
        let mut stop = tokio::spawn(server.shutdown());
        // sleep: a stop that does not wait is over by then.
        let early = tokio::time::timeout(Duration::from_millis(200), &mut stop).await;
        assert!(early.is_err(), "{way:?}: {early:?}");
        handler.set_open(true);
        stop.await.unwrap().unwrap();
        assert_eq!(handler.state().running, 0, "{way:?}");
    }
}

async fn a_stop_fails_while_threads_outlast_the_grace_period(carrier: Carrier) {
    for way in [
        BlockingWay::Unary,
        BlockingWay::InParts,
        BlockingWay::ByHand,
    ] {
        let handler = GatedHandler::default();
        let server = serve(&carrier.bus, &handler, Duration::from_millis(100)).await;
        let call = way.call(&carrier.bus, PATIENT);
        let stop = async {
            until(|| handler.state().started == 1).await;
            server.shutdown().await
        };
        let (result, stopped) = tokio::join!(call, stop);
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{way:?}: {status}");
        let error = stopped.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{way:?}");
        assert!(error.to_string().contains("#[rpc(blocking)]"), "{error}");
        handler.set_open(true);
        until(|| handler.state().running == 0).await;
    }
}

async fn calls_by_hand_count_as_streams(carrier: Carrier) {
    let probe = ExecutionProbe::default();
    let server = Server::new(&carrier.bus).add(StreamsServer::new(probe.clone()));
    let server = server.max_streams(1).start().await.unwrap();
    let client: StreamsClient = carrier.bus.client();
    let wait = || CountRequest {
        plan: "wait".to_owned(),
        ..CountRequest::default()
    };
    // The one by hand is the last: its caller cannot end it before its deadline.
    for is_held_by_hand in [false, true] {
        drop(probe.take_spans());
        let holding = async {
            match is_held_by_hand {
                true => by_hand(&carrier.bus, "Count", wait().encode_to_vec()).await,
                false => client.count(wait()).timeout(PATIENT).await.map(drop),
            }
        };
        let others = async {
            until(|| probe.spans() > 0).await;
            let framed = client.count(CountRequest::default()).await.map(drop);
            let by_hand = by_hand(&carrier.bus, "Count", Vec::new()).await;
            for refused in [framed, by_hand] {
                let status = refused.unwrap_err();
                assert_eq!(
                    status.reason(),
                    Some(Reason::Overloaded),
                    "{is_held_by_hand}"
                );
            }
            client.repeat(Item::default()).await.unwrap();
        };
        tokio::select! {
            held = holding => panic!("{held:?}"),
            () = others => {}
        }
        if !is_held_by_hand {
            until_idle(&server).await;
        }
    }
}

/// Waits until no call runs.
async fn until_idle(server: &RunningServer) {
    let in_flight = || {
        let endpoints = server.stats().into_iter().flat_map(|stats| stats.endpoints);
        let data = endpoints.filter_map(|endpoint| endpoint.data);
        data.map(|data| data.in_flight).sum::<u64>()
    };
    until(|| in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offered_reply_that_is_not_taken_holds_its_permit() {
    let test = async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let options = ServiceOptions::new().method_max_concurrent("Repeat", 1);
        let server = Server::new(&bus)
            .add_with(StreamsServer::new(StreamsHandler::default()), options)
            .start()
            .await
            .unwrap();
        let client: StreamsClient = bus.client();
        let plain = async_nats::connect(nats.url()).await.unwrap();
        let large = Item {
            number: 3,
            data: vec![7; 500_000],
            ..Item::default()
        };
        let request = plain.request("streams.v1.Streams.Repeat", large.encode_to_vec().into());
        let offer = request.await.unwrap();
        assert_eq!(
            offer.headers.unwrap().get("Micro-Status").unwrap().as_str(),
            "8"
        );
        let status = client.repeat(Item::default()).await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Overloaded));
        // Its caller does not take it: it ends with the open timeout.
        until_idle(&server).await;
        // One that is taken holds its permit to the last part.
        assert_eq!(client.repeat(large).await.unwrap().data.len(), 1_500_000);
        until_idle(&server).await;
        client.repeat(Item::default()).await.unwrap();
        server.shutdown().await.unwrap();
    };
    within(Duration::from_secs(60), test).await;
}
