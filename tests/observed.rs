//! What a call shows of itself: spans, log lines, metrics, and the trace of others passed on.
//!
//! Log and recorder belong to the process, so this is a test binary of its own with one test, which
//! looks at one thing after the other.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "observed/log.rs"]
mod log;

use std::time::Duration;

use log::Log;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use micro_runtime::{Bus, Code, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, FlakyRequest, WaitRequest};
use micro_tests::streams::{CountRequest, StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};

struct Scene {
    log: Log,
    snapshotter: Snapshotter,
    nats: NatsServer,
    bus: Bus,
    client: BehaviorClient,
    handler: BehaviorHandler,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_can_be_observed() {
    let log = log::install();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let handler = BehaviorHandler::on(&bus);
        let server = Server::new(&bus)
            .max_in_flight(4)
            .add(BehaviorServer::new(handler.clone()));
        let server = server.add(StreamsServer::new(StreamsHandler::default()));
        let _server = server.start().await.unwrap();
        let client = bus.client();
        let mut scene = Scene {
            log,
            snapshotter,
            nats,
            bus,
            client,
            handler,
        };
        a_call_is_a_span_on_each_side(&scene).await;
        a_stream_is_a_span_on_each_side(&scene).await;
        attempts_are_seen(&scene).await;
        a_trace_is_passed_on(&scene).await;
        a_panic_is_logged_with_its_method(&scene).await;
        calls_are_counted(&scene).await;
        a_lost_connection_is_logged(&mut scene).await;
    })
    .await;
}

async fn a_call_is_a_span_on_each_side(scene: &Scene) {
    scene.log.clear();
    scene.client.echo(Blob::default()).await.unwrap();
    for kind in ["client", "server"] {
        let spans = scene.log.spans(kind);
        assert_eq!(spans.len(), 1, "{spans:?}");
        let field = |name| spans[0].get(name).unwrap().as_str();
        assert_eq!(field("otel.name"), "behavior.v1.Behavior.Echo");
        assert_eq!(field("rpc.system"), "micro");
        assert_eq!(field("rpc.service"), "behavior.v1.Behavior");
        assert_eq!(field("rpc.method"), "Echo");
        assert_eq!(field("rpc.status"), "OK");
    }
}

async fn a_stream_is_a_span_on_each_side(scene: &Scene) {
    let streams: StreamsClient = scene.bus.client();
    for (plan, status) in [("", "OK"), ("fail", "ABORTED")] {
        scene.log.clear();
        let request = CountRequest {
            messages: 3,
            plan: plan.to_owned(),
            ..CountRequest::default()
        };
        let mut items = streams.count(request).await.unwrap();
        while let Ok(Some(_)) = items.message().await {}
        for kind in ["client", "server"] {
            // Both ends close their spans in tasks of their own.
            while scene
                .log
                .spans(kind)
                .iter()
                .all(|span| span.get("rpc.status").is_none())
            {
                tokio::time::sleep(Duration::from_millis(1)).await; // sleep: between two looks
            }
            let spans = scene.log.spans(kind);
            assert_eq!(spans[0]["otel.name"], "streams.v1.Streams.Count");
            assert_eq!(spans[0]["rpc.status"], status, "{kind}");
        }
    }
}

async fn attempts_are_seen(scene: &Scene) {
    scene.log.clear();
    let flake = FlakyRequest {
        key: "seen".into(),
        failures: 2,
        code: 14,
    };
    scene.client.flaky(flake).await.unwrap();
    let spans = scene.log.spans("client");
    assert_eq!(spans[0]["rpc.attempt"], "3");
    assert_eq!(scene.log.numbers("sent again", "attempt"), [2, 3]);
    assert_eq!(scene.log.spans("server").len(), 3);
}

/// What a caller of ours says of its trace reaches the calls that are made within its call.
async fn a_trace_is_passed_on(scene: &Scene) {
    use async_nats::HeaderMap;
    use futures_util::StreamExt as _;
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let hand = async_nats::connect(scene.nats.url()).await.unwrap();
    let mut nested = hand.subscribe("behavior.v1.Behavior.Wait").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", PARENT);
    headers.insert("tracestate", "a=b");
    headers.insert("baggage", "user=ada");
    // WaitRequest { milliseconds: 0 }, on the connection that listens: the order is kept.
    let request = hand.request_with_headers("behavior.v1.Behavior.Relay", headers, "".into());
    request.await.unwrap();
    let seen = nested.next().await.unwrap().headers.unwrap();
    assert_eq!(seen.get("traceparent").unwrap().as_str(), PARENT);
    assert_eq!(seen.get("tracestate").unwrap().as_str(), "a=b");
    assert_eq!(seen.get("baggage").unwrap().as_str(), "user=ada");
}

async fn a_panic_is_logged_with_its_method(scene: &Scene) {
    scene.log.clear();
    let data = b"out of cheese".into();
    scene.client.panic(Blob { data }).await.unwrap_err();
    let events = scene.log.events("a handler panicked");
    assert_eq!(events[0]["method"], "behavior.v1.Behavior.Panic");
    assert_eq!(events[0]["panic"], "out of cheese");
}

async fn calls_are_counted(scene: &Scene) {
    // What went before is read, and so is set back.
    scene.snapshotter.snapshot();
    for _ in 0..10 {
        scene.client.echo(Blob::default()).await.unwrap();
    }
    let data = b"counted".into();
    scene.client.panic(Blob { data }).await.unwrap_err();
    overload(scene).await;
    reply_elsewhere(scene).await;
    let snapshot = scene.snapshotter.snapshot().into_vec();
    let value = |name: &str, label: &str| {
        snapshot.iter().find_map(|(key, _, _, value)| {
            let key = key.key();
            let has_label = key.labels().any(|found| found.value() == label);
            (key.name() == name && has_label).then(|| format!("{value:?}"))
        })
    };
    let echo = "behavior.v1.Behavior.Echo";
    let panic = "behavior.v1.Behavior.Panic";
    let rest = "behavior.v1.Behavior.Wait";
    let counter = |number: u64| Some(format!("{:?}", DebugValue::Counter(number)));
    for side in ["client", "server"] {
        assert_eq!(value(&format!("rpc.{side}.requests"), echo), counter(10));
        assert_eq!(value(&format!("rpc.{side}.errors"), panic), counter(1));
        assert_eq!(value(&format!("rpc.{side}.errors"), "INTERNAL"), counter(1));
        let duration = value(&format!("rpc.{side}.duration"), echo).unwrap();
        assert_eq!(duration.matches(", ").count(), 9, "{duration}");
        let in_flight = value(&format!("rpc.{side}.in_flight"), echo).unwrap();
        assert!(in_flight.contains("0.0"), "{in_flight}");
    }
    assert_eq!(value("rpc.server.shed", rest), counter(1));
    assert_eq!(value("rpc.server.dropped", echo), counter(1));
}

/// A request whose reply would go where no reply may go.
async fn reply_elsewhere(scene: &Scene) {
    scene.log.clear();
    let nats = scene.bus.nats().unwrap();
    let subject = "behavior.v1.Behavior.Echo";
    let published = nats.publish_with_reply(subject, "admin.delete", "".into());
    published.await.unwrap();
    let text = "dropped a request: its reply subject is outside the allowed prefixes";
    while scene.log.events(text).is_empty() {
        tokio::task::yield_now().await;
    }
}

/// One call more than the server's limit.
async fn overload(scene: &Scene) {
    let before = scene.handler.started();
    let hold = || {
        let call = scene.client.wait(WaitRequest {
            milliseconds: 60_000,
        });
        tokio::spawn(async { call.timeout(Duration::from_secs(2)).await })
    };
    let held = (0..4).map(|_| hold()).collect::<Vec<_>>();
    while scene.handler.started() < before + 4 {
        tokio::task::yield_now().await;
    }
    let status = scene.client.wait(WaitRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    for call in held {
        call.await.unwrap().unwrap_err();
    }
}

async fn a_lost_connection_is_logged(scene: &mut Scene) {
    scene.log.clear();
    scene.nats.kill().unwrap();
    while scene
        .log
        .events("the connection to NATS is lost")
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    scene.nats.restart().await.unwrap();
    while scene
        .log
        .events("the connection to NATS is back")
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    assert!(scene.bus.nats().is_some());
}
