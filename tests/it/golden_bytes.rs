//! Messages of whole programs, byte for byte those of docs/golden.json, as a plain NATS client sees them.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt as _;
use micro_runtime::{Bus, RunningServer, Server, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::Trade;
use micro_tests::streams::{CountRequest, StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};

use crate::golden::example;
use crate::round_trip::round_trip;

const BEHAVIOR: &str = "behavior.v1.Behavior";
const STREAMS: &str = "streams.v1.Streams";

/// A nats-server, a bus, and a plain client beside it.
struct Plain {
    _nats: NatsServer,
    bus: Bus,
    client: Client,
}

impl Plain {
    async fn start(nats: NatsServer) -> Self {
        Self {
            bus: Bus::connect(nats.url()).await.unwrap(),
            client: async_nats::connect(nats.url()).await.unwrap(),
            _nats: nats,
        }
    }

    async fn serve(&self) -> RunningServer {
        Server::new(&self.bus)
            .add(BehaviorServer::new(BehaviorHandler::default()))
            .add(StreamsServer::new(StreamsHandler::default()))
            .start()
            .await
            .unwrap()
    }

    /// Subscribes, and waits until the nats-server has the subscription.
    async fn subscribe(&self, subject: impl Into<String>) -> Subscriber {
        let subscriber = self.client.subscribe(subject.into()).await.unwrap();
        round_trip(&self.client).await;
        subscriber
    }
}

async fn next(subscriber: &mut Subscriber) -> Message {
    let next = within(Duration::from_secs(20), subscriber.next());
    next.await.unwrap()
}

/// Window and heartbeat of the examples.
fn options() -> StreamOptions {
    StreamOptions::new().window_messages(4).window_bytes(65_536)
}

#[tokio::test]
async fn a_unary_call_has_its_golden_bytes() {
    let plain = Plain::start(NatsServer::start().await.unwrap()).await;
    let _server = plain.serve().await;
    let (request, reply) = (example("unary_request"), example("unary_reply"));
    let subject = request.subject(BEHAVIOR);
    let mut requests = plain.subscribe(&subject).await;
    let client: BehaviorClient = plain.bus.client();
    client.echo(Blob { data: b"hi".into() }).await.unwrap();
    request.check(&next(&mut requests).await);
    let received = plain.client.request(subject, request.payload());
    reply.check(&received.await.unwrap());
}

#[tokio::test]
async fn the_requests_that_open_streams_have_their_golden_bytes() {
    let plain = Plain::start(NatsServer::start().await.unwrap()).await;
    let client: StreamsClient = plain.bus.client();
    let mut requests = plain.subscribe(format!("{STREAMS}.*")).await;
    let request = CountRequest {
        messages: 3,
        size: 2,
        ..CountRequest::default()
    };
    let call = client.count(request).stream_options(options());
    let counting = tokio::spawn(call.into_future());
    example("stream_opening").check(&next(&mut requests).await);
    counting.abort();
    let collecting = tokio::spawn(client.collect().stream_options(options()).open());
    example("stream_opening_without_message").check(&next(&mut requests).await);
    collecting.abort();
}

#[tokio::test]
async fn a_large_request_has_its_golden_opening() {
    let nats = NatsServer::builder().max_payload(4096).start();
    let plain = Plain::start(nats.await.unwrap()).await;
    let client: StreamsClient = plain.bus.client();
    let mut requests = plain.subscribe(format!("{STREAMS}.*")).await;
    let request = CountRequest {
        padding: vec![0; 8192],
        ..CountRequest::default()
    };
    let call = client.count(request).stream_options(options());
    let counting = tokio::spawn(call.into_future());
    let opening = next(&mut requests).await;
    let golden = example("large_request_opening");
    golden.check_headers(&opening);
    assert_eq!(opening.payload, golden.payload());
    counting.abort();
}

#[tokio::test]
async fn a_large_reply_has_its_golden_offer() {
    let plain = Plain::start(NatsServer::start().await.unwrap()).await;
    let _server = plain.serve().await;
    // FillRequest { bytes: 2 MiB }
    let fill = plain.client.request(
        format!("{BEHAVIOR}.Fill"),
        b"\x08\x80\x80\x80\x01"[..].into(),
    );
    let offer = fill.await.unwrap();
    example("large_reply_offer").check_headers(&offer);
}

#[tokio::test]
async fn a_stream_by_hand_has_its_golden_bytes() {
    let plain = Plain::start(NatsServer::start().await.unwrap()).await;
    let _server = plain.serve().await;
    let request = example("by_hand_request");
    let inbox = plain.client.new_inbox();
    let mut replies = plain.subscribe(&inbox).await;
    plain
        .client
        .publish_with_reply(request.subject(STREAMS), inbox, request.payload())
        .await
        .unwrap();
    for name in ["by_hand_empty_message", "by_hand_message", "by_hand_end"] {
        let reply = next(&mut replies).await;
        example(name).check_headers(&reply);
        assert_eq!(reply.payload, example(name).payload(), "{name}");
    }
}

#[tokio::test]
async fn health_has_its_golden_bytes() {
    let plain = Plain::start(NatsServer::start().await.unwrap()).await;
    let server = plain.serve().await;
    let request = example("health_request");
    let serving = example("health_serving");
    let subject = request.subject(BEHAVIOR);
    for payload in [request.payload(), "".into()] {
        let reply = plain.client.request(subject.clone(), payload);
        serving.check(&reply.await.unwrap());
    }
    server.shutdown().await.unwrap();
    let server = Server::new(&plain.bus)
        .add(BehaviorServer::new(BehaviorHandler::default()))
        .readiness_check("never", || async {
            Err(micro_runtime::Status::unavailable("no"))
        })
        .start();
    let _server = server.await.unwrap();
    let reply = plain.client.request(subject, "".into()).await.unwrap();
    example("health_not_serving").check(&reply);
}

#[tokio::test]
async fn an_event_has_its_golden_bytes() {
    let plain = Plain::start(NatsServer::start().await.unwrap()).await;
    let mut events = plain.subscribe("evt.>").await;
    let trade = Trade {
        venue: "kraken".into(),
        symbol: "BTC/USD".into(),
        ..Trade::default()
    };
    plain.bus.publish(&trade).await.unwrap();
    example("event").check(&next(&mut events).await);
}
