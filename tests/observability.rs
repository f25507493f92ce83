//! Spans, log events and metrics of calls, and the propagation of trace headers.
//!
//! A process has one log and one metrics recorder, so this is a test binary of its own with one test, which
//! runs its checks in sequence.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "observability/dropped_handlers.rs"]
mod dropped_handlers;
#[path = "observability/durable_events.rs"]
mod durable_events;
#[path = "observability/foreign_records.rs"]
mod foreign_records;
#[path = "observability/metric.rs"]
mod metric;
#[path = "it/round_trip.rs"]
mod round_trip;
#[path = "observability/trace_log.rs"]
mod trace_log;
#[path = "it/until.rs"]
mod until;

use std::time::Duration;

use metric::{counter, metric};
use metrics_util::debugging::{DebuggingRecorder, Snapshotter};
use micro_runtime::{Bus, Code, Context, Server, Status, Subscriber, Subscription, service};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, FlakyRequest, WaitRequest};
use micro_tests::market::Trade;
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, ExecutionProbe, StreamsHandler};
use trace_log::TraceLog;
use until::until;

/// The running services, and the recorders of their spans, events and metrics.
struct ObservedServer {
    log: TraceLog,
    snapshotter: Snapshotter,
    nats: NatsServer,
    bus: Bus,
    client: BehaviorClient,
    handler: BehaviorHandler,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_record_spans_events_and_metrics() {
    let log = trace_log::install();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let handler = BehaviorHandler::on(&bus);
        let server = Server::new(&bus)
            .max_concurrent(4)
            .add(BehaviorServer::new(handler.clone()));
        let server = server.add(StreamsServer::new(StreamsHandler::default()));
        let _server = server.start().await.unwrap();
        let client = bus.client();
        let mut observed = ObservedServer {
            log,
            snapshotter,
            nats,
            bus,
            client,
            handler,
        };
        check_spans_of_a_call(&observed).await;
        check_spans_of_a_stream(&observed).await;
        check_attempts_of_a_retried_call(&observed).await;
        check_trace_headers_of_a_nested_call(&observed).await;
        check_event_of_a_panic(&observed).await;
        check_metrics(&observed).await;
        check_span_of_every_handler(&observed).await;
        dropped_handlers::check_spans().await;
        foreign_records::check_warnings(&observed.log).await;
        durable_events::check_single_events(&observed.log, &observed.snapshotter).await;
        durable_events::check_batches(&observed.log, &observed.snapshotter).await;
        check_events_of_a_lost_connection(&mut observed).await;
    })
    .await;
}

async fn check_spans_of_a_call(observed: &ObservedServer) {
    observed.log.clear();
    observed.client.echo(Blob::default()).await.unwrap();
    for kind in ["client", "server"] {
        let spans = observed.log.spans(kind);
        assert_eq!(spans.len(), 1, "{spans:?}");
        let field = |name| spans[0].get(name).unwrap().as_str();
        assert_eq!(field("otel.name"), "behavior.v1.Behavior.Echo");
        assert_eq!(field("rpc.system"), "micro");
        assert_eq!(field("rpc.service"), "behavior.v1.Behavior");
        assert_eq!(field("rpc.method"), "Echo");
        assert_eq!(field("rpc.status"), "OK");
    }
}

async fn check_spans_of_a_stream(observed: &ObservedServer) {
    let streams: StreamsClient = observed.bus.client();
    for (plan, status) in [("", "OK"), ("fail", "ABORTED")] {
        observed.log.clear();
        let request = CountRequest {
            messages: 3,
            plan: plan.to_owned(),
            ..CountRequest::default()
        };
        let mut items = streams.count(request).await.unwrap();
        while let Ok(Some(_)) = items.message().await {}
        for kind in ["client", "server"] {
            // Each end closes its span in a task of its own, after the last message.
            until(|| {
                let spans = observed.log.spans(kind);
                spans.iter().any(|span| span.get("rpc.status").is_some())
            })
            .await;
            let spans = observed.log.spans(kind);
            assert_eq!(spans[0]["otel.name"], "streams.v1.Streams.Count");
            assert_eq!(spans[0]["rpc.status"], status, "{kind}");
        }
    }
}

/// Checks that handlers and their streams run within the span of their call or event, however the
/// runtime runs them, on both carriers.
async fn check_span_of_every_handler(observed: &ObservedServer) {
    for bus in [observed.bus.clone(), Bus::in_process()] {
        let bus = bus.with_prefix("spans").unwrap();
        let probe = ExecutionProbe::default();
        let server = Server::new(&bus)
            .add(StreamsServer::new(probe.clone()))
            .subscribe::<Trade>(SpanSubscriber(probe.clone()), Subscription::broadcast());
        let _server = server.start().await.unwrap();
        let check = |way: &str, polls: usize, name| {
            assert_eq!(probe.take_spans(), vec![Some(name); polls], "{way}");
        };
        let client: StreamsClient = bus.client();
        client.repeat(Item::default()).await.unwrap();
        check("unary", 1, "rpc");
        let mut items = client.count(CountRequest::default()).await.unwrap();
        while items.message().await.unwrap().is_some() {}
        check("server streaming", 2, "rpc");
        let mut items = client.collect().open().await.unwrap();
        items.send(Item::default()).await.unwrap();
        items.finish().await.unwrap();
        check("client streaming, on a blocking thread", 1, "rpc");
        let by_hand = bus.dynamic("streams.v1.Streams").await.unwrap();
        by_hand.call_raw("Count", "").await.unwrap();
        check("by hand", 2, "rpc");
        by_hand.call_raw("Collect", "\x08\x01").await.unwrap();
        check("by hand, on a blocking thread", 1, "rpc");
        // The first event is handled by a worker, the next ones in place once handlers proved short.
        for number in 0..3 {
            let trade = Trade {
                venue: "a".into(),
                symbol: "b".into(),
                number,
                ..Trade::default()
            };
            bus.publish(&trade).await.unwrap();
            while probe.spans() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
            }
            check("event", 2, "event");
        }
    }
}

struct SpanSubscriber(ExecutionProbe);

#[service]
impl Subscriber<Trade> for SpanSubscriber {
    async fn on_event(&self, _ctx: Context, _trade: Trade) -> Result<(), Status> {
        self.0.record_span();
        // A handler that waits continues on another task, within the same span.
        tokio::task::yield_now().await;
        self.0.record_span();
        Ok(())
    }
}

async fn check_attempts_of_a_retried_call(observed: &ObservedServer) {
    observed.log.clear();
    let flake = FlakyRequest {
        key: "retried".into(),
        failures: 2,
        code: 14,
    };
    observed.client.flaky(flake).await.unwrap();
    let spans = observed.log.spans("client");
    assert_eq!(spans[0]["rpc.attempt"], "3");
    assert_eq!(observed.log.numbers("sent again", "attempt"), [2, 3]);
    assert_eq!(observed.log.spans("server").len(), 3);
}

/// Checks that the trace headers of a request are sent with the calls of its handler.
async fn check_trace_headers_of_a_nested_call(observed: &ObservedServer) {
    use async_nats::HeaderMap;
    use futures_util::StreamExt as _;
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let plain_client = async_nats::connect(observed.nats.url()).await.unwrap();
    let mut nested = plain_client
        .subscribe("behavior.v1.Behavior.Wait")
        .await
        .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", PARENT);
    headers.insert("tracestate", "a=b");
    headers.insert("baggage", "user=ada");
    // WaitRequest { milliseconds: 0 }, on the connection of the subscription, which keeps the order.
    let request =
        plain_client.request_with_headers("behavior.v1.Behavior.Relay", headers, "".into());
    request.await.unwrap();
    let received = nested.next().await.unwrap().headers.unwrap();
    assert_eq!(received.get("traceparent").unwrap().as_str(), PARENT);
    assert_eq!(received.get("tracestate").unwrap().as_str(), "a=b");
    assert_eq!(received.get("baggage").unwrap().as_str(), "user=ada");
}

async fn check_event_of_a_panic(observed: &ObservedServer) {
    observed.log.clear();
    let data = b"out of cheese".into();
    observed.client.panic(Blob { data }).await.unwrap_err();
    let events = observed.log.events("a handler panicked");
    assert_eq!(events[0]["method"], "behavior.v1.Behavior.Panic");
    assert_eq!(events[0]["panic"], "out of cheese");
}

async fn check_metrics(observed: &ObservedServer) {
    // A snapshot resets the counters of the checks before.
    observed.snapshotter.snapshot();
    for _ in 0..10 {
        observed.client.echo(Blob::default()).await.unwrap();
    }
    let data = b"counted".into();
    observed.client.panic(Blob { data }).await.unwrap_err();
    overload(observed).await;
    request_with_forbidden_reply(observed).await;
    let snapshot = observed.snapshotter.snapshot().into_vec();
    let value = |name: &str, label: &str| metric(&snapshot, name, label);
    let echo = "behavior.v1.Behavior.Echo";
    let panic = "behavior.v1.Behavior.Panic";
    let rest = "behavior.v1.Behavior.Wait";
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
    // A request that no handler got counts as one that failed.
    let refused = value("rpc.server.errors", "RESOURCE_EXHAUSTED");
    assert_eq!(refused, counter(1));
    assert_eq!(value("rpc.server.dropped", echo), counter(1));
}

/// Sends a request whose reply subject is forbidden, and waits until it is logged.
async fn request_with_forbidden_reply(observed: &ObservedServer) {
    observed.log.clear();
    let nats = observed.bus.nats().unwrap();
    let subject = "behavior.v1.Behavior.Echo";
    let published = nats.publish_with_reply(subject, "admin.delete", "".into());
    published.await.unwrap();
    let text = "dropped a request or a frame: its reply subject is outside the allowed prefixes";
    while observed.log.events(text).is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Makes one call more than the server's limit allows.
async fn overload(observed: &ObservedServer) {
    let before = observed.handler.started();
    let hold = || {
        let call = observed.client.wait(WaitRequest {
            milliseconds: 60_000,
        });
        tokio::spawn(async { call.timeout(Duration::from_secs(5)).await })
    };
    let held = (0..4).map(|_| hold()).collect::<Vec<_>>();
    while observed.handler.started() < before + 4 {
        tokio::task::yield_now().await;
    }
    let status = observed
        .client
        .wait(WaitRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    for call in held {
        call.await.unwrap().unwrap_err();
    }
}

async fn check_events_of_a_lost_connection(observed: &mut ObservedServer) {
    observed.log.clear();
    observed.nats.kill().unwrap();
    while observed
        .log
        .events("the connection to NATS is lost")
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    observed.nats.restart().await.unwrap();
    while observed
        .log
        .events("the connection to NATS is back")
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    assert!(observed.bus.nats().is_some());
}
