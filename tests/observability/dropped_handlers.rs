//! Handlers that are dropped with their runtime: their destructors run within the span of call or event.

use std::future::IntoFuture as _;

use bytes::Bytes;
use micro_runtime::{
    Bus, Context, RunningServer, Server, Status, Subscriber, Subscription, service,
};
use micro_tests::ExecutionProbe;
use micro_tests::market::Trade;
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};
use prost::Message as _;

use crate::until::until;

/// Spans of the handlers below, sorted: one event, and a call of each shape.
const SPANS: [Option<&str>; 4] = [Some("event"), Some("rpc"), Some("rpc"), Some("rpc")];

/// Never ends.
struct WaitingSubscriber(ExecutionProbe);

#[service]
impl Subscriber<Trade> for WaitingSubscriber {
    async fn on_event(&self, _ctx: Context, _trade: Trade) -> Result<(), Status> {
        self.0.wait().await
    }
}

pub(crate) async fn check_spans() {
    let bus = Bus::in_process();
    let probe = ExecutionProbe::default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let server = runtime.spawn(serve(bus.clone(), probe.clone()));
    let _server = server.await.unwrap();
    let client: StreamsClient = bus.client();
    let plan = "wait".to_owned();
    let item = Item {
        plan: plan.clone(),
        ..Item::default()
    };
    let count = CountRequest {
        plan,
        ..CountRequest::default()
    };
    let by_hand = bus.dynamic("streams.v1.Streams").await.unwrap();
    let by_hand = by_hand.call_raw("Count", Bytes::from(count.encode_to_vec()));
    let calls = [
        tokio::spawn(async { drop(by_hand.await) }),
        tokio::spawn(unary(client.clone(), item)),
        tokio::spawn(async move { drop(client.count(count).into_future().await) }),
    ];
    bus.publish(&Trade::default()).await.unwrap();
    check_next_spans(&probe).await;
    runtime.shutdown_background();
    check_next_spans(&probe).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn serve(bus: Bus, probe: ExecutionProbe) -> RunningServer {
    Server::new(&bus)
        .add(StreamsServer::new(probe.clone()))
        .subscribe::<Trade>(WaitingSubscriber(probe), Subscription::broadcast())
        .start()
        .await
        .unwrap()
}

async fn unary(client: StreamsClient, item: Item) {
    drop(client.repeat(item).await);
}

/// Waits until each handler has recorded its span once more.
async fn check_next_spans(probe: &ExecutionProbe) {
    until(|| probe.spans() >= SPANS.len()).await;
    let mut spans = probe.take_spans();
    spans.sort_unstable();
    assert_eq!(spans, SPANS);
}
