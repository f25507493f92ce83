//! Durable events, one by one and in batches: the span of their handlers, and the count of each outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics_util::debugging::Snapshotter;
use micro_runtime::event::EventStats;
use micro_runtime::jetstream::{BatchSubscriber, Durable, DurableEvent, EventStream};
use micro_runtime::{Bus, Context, RunningServer, Server, Status, Subscriber, service};
use micro_testkit::NatsServer;
use micro_tests::ExecutionProbe;
use micro_tests::market::Trade;

use crate::metric::{counter, metric};
use crate::trace_log::TraceLog;
use crate::until::until;

/// Number of the trade whose first delivery fails.
const FAILING: u64 = 3;
/// Numbers of trades that are published.
const TRADES: std::ops::RangeInclusive<u64> = 1..=6;
/// Deliveries: one for each trade, and one more for the one that fails.
const DELIVERIES: u64 = 7;

/// Message of the one line of a failure.
const FAILED: &str = "the handler of an event failed; the event is delivered again after the delay";

/// Handler of single events and of batches, which counts its calls.
#[derive(Clone, Default)]
struct DurableHandler {
    probe: ExecutionProbe,
    calls: Arc<AtomicUsize>,
}

impl DurableHandler {
    /// Records the span of the first poll, and of the second, after which it fails or succeeds.
    async fn handle(&self, fails: bool) -> Result<(), Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.probe.record_span();
        tokio::task::yield_now().await;
        self.probe.record_span();
        match fails {
            true => Err(Status::aborted("asked to fail")),
            false => Ok(()),
        }
    }
}

#[service]
impl Subscriber<Trade> for DurableHandler {
    async fn on_event(&self, ctx: Context, trade: Trade) -> Result<(), Status> {
        let delivery = ctx.delivery().unwrap();
        self.handle(trade.number == FAILING && delivery.count() == 1)
            .await
    }
}

impl BatchSubscriber<Trade> for DurableHandler {
    async fn on_batch(
        &self,
        _ctx: Context,
        trades: Vec<DurableEvent<Trade>>,
    ) -> Result<(), Status> {
        let is_failing = |trade: &DurableEvent<Trade>| {
            trade.event.number == FAILING && trade.delivery.count() == 1
        };
        self.handle(trades.iter().any(is_failing)).await
    }
}

/// Starts a nats-server with JetStream and a stream of trades.
async fn start() -> (NatsServer, Bus) {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let stream = EventStream::named("MARKET").subject("evt.market.>");
    bus.declare(&stream).await.unwrap();
    (nats, bus)
}

async fn publish(bus: &Bus, number: u64) {
    let trade = Trade {
        venue: "sim".into(),
        symbol: "a".into(),
        number,
        ..Trade::default()
    };
    let publisher = bus.durable_publisher();
    let _stored = publisher.publish(&trade).send().await.unwrap();
    publisher.flush().await.unwrap();
}

fn durable(name: &str) -> Durable {
    Durable::named(name).backoff([Duration::from_millis(1)])
}

/// Waits until `count` events have been handled.
async fn wait_until_handled(server: &RunningServer, count: u64) -> EventStats {
    let stats = || server.events().remove(0);
    until(|| stats().handled >= count).await;
    stats()
}

/// Checks that each call of the handler had one span, within which all of its polls ran.
fn check_spans(log: &TraceLog, handler: &DurableHandler, subject: &str) {
    let calls = handler.calls.load(Ordering::SeqCst);
    let polls = handler.probe.take_spans();
    assert_eq!(polls, vec![Some("event"); 2 * calls]);
    let spans = log.spans("consumer");
    assert_eq!(spans.len(), calls);
    for span in spans {
        assert_eq!(span["otel.name"], "market.v1.Trade");
        assert_eq!(span["messaging.destination.name"], subject);
    }
}

/// The first event is handled in a task, the next ones in place once handlers have proved short.
pub(crate) async fn check_single_events(log: &TraceLog, snapshotter: &Snapshotter) {
    let (_nats, bus) = start().await;
    let handler = DurableHandler::default();
    log.clear();
    snapshotter.snapshot();
    let server = Server::new(&bus)
        .subscribe::<Trade>(handler.clone(), durable("single"))
        .start()
        .await
        .unwrap();
    for (handled, number) in (1..).zip(TRADES) {
        publish(&bus, number).await;
        wait_until_handled(&server, handled).await;
    }
    let stats = wait_until_handled(&server, 6).await;
    let counts = (stats.received, stats.handled, stats.failed);
    assert_eq!(counts, (DELIVERIES, 6, 1));
    assert_eq!(handler.calls.load(Ordering::SeqCst) as u64, DELIVERIES);
    check_spans(log, &handler, "evt.market.trade.sim.a");
    let snapshot = snapshotter.snapshot().into_vec();
    let value = |name: &str, label: &str| metric(&snapshot, name, label);
    assert_eq!(
        value("event.received", "market.v1.Trade"),
        counter(DELIVERIES)
    );
    assert_eq!(value("event.errors", "ABORTED"), counter(1));
    assert_eq!(log.numbers(FAILED, "sequence"), [FAILING]);
    assert!(log.events("the handler of an event failed").is_empty());
    server.shutdown().await.unwrap();
}

/// A batch has one span without a subject; each of its events is counted.
pub(crate) async fn check_batches(log: &TraceLog, snapshotter: &Snapshotter) {
    let (_nats, bus) = start().await;
    for number in TRADES {
        publish(&bus, number).await;
    }
    let handler = DurableHandler::default();
    log.clear();
    snapshotter.snapshot();
    let server = Server::new(&bus)
        .subscribe_batch::<Trade>(handler.clone(), durable("batches").max_concurrent(1))
        .start()
        .await
        .unwrap();
    let stats = wait_until_handled(&server, 6).await;
    // The events that came together with the failing one have failed with it.
    assert!(stats.failed > 0, "{stats:?}");
    assert_eq!(stats.handled, 6);
    assert_eq!(stats.received, stats.handled + stats.failed);
    let calls = handler.calls.load(Ordering::SeqCst) as u64;
    assert!(calls < stats.received, "{calls} batches of {stats:?}");
    check_spans(log, &handler, "");
    let snapshot = snapshotter.snapshot().into_vec();
    let value = |name: &str, label: &str| metric(&snapshot, name, label);
    assert_eq!(
        value("event.received", "market.v1.Trade"),
        counter(stats.received)
    );
    assert_eq!(value("event.errors", "ABORTED"), counter(stats.failed));
    assert_eq!(value("event.handled", "market.v1.Trade"), counter(6));
    assert_eq!(
        value("event.failed", "market.v1.Trade"),
        counter(stats.failed)
    );
    let failures = log.numbers(FAILED, "count");
    assert_eq!((failures.len(), failures.iter().sum()), (1, stats.failed));
    server.shutdown().await.unwrap();
}
