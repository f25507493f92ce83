//! The traces that OpenTelemetry records of a call within a call and of a batch of durable events, over a real
//! nats-server. It is a test binary of its own, since a process has one subscriber.

use std::sync::OnceLock;
use std::time::Duration;

use micro_runtime::jetstream::{BatchSubscriber, Durable, DurableEvent, EventStream};
use micro_runtime::{Bus, Context, Server, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, WaitRequest};
use micro_tests::market::Trade;
use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;

/// Returns the exporter of all spans of the process.
fn exporter() -> InMemorySpanExporter {
    static EXPORTER: OnceLock<InMemorySpanExporter> = OnceLock::new();
    let exporter = EXPORTER.get_or_init(|| {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let runtime_only = tracing_subscriber::filter::Targets::new()
            .with_target("micro_runtime", tracing::Level::INFO);
        let subscriber = tracing_subscriber::registry()
            .with(tracing_subscriber::Layer::with_filter(layer, runtime_only));
        tracing::subscriber::set_global_default(subscriber).expect("the first one");
        exporter
    });
    exporter.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_calls_are_one_trace() {
    let exporter = exporter();
    let spans = within(Duration::from_secs(30), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::on(&bus)));
        let server = server.start().await.unwrap();
        let client: BehaviorClient = bus.client();
        client.relay(WaitRequest::default()).await.unwrap();
        server.shutdown().await.unwrap();
        exporter.get_finished_spans().unwrap()
    })
    .await;

    let find = |name: &str, kind: SpanKind| -> &SpanData {
        let is_match = |span: &&SpanData| span.name == name && span.span_kind == kind;
        spans
            .iter()
            .find(is_match)
            .unwrap_or_else(|| panic!("no {name} {kind:?} in {spans:?}"))
    };
    let chain = [
        find("behavior.v1.Behavior.Relay", SpanKind::Client),
        find("behavior.v1.Behavior.Relay", SpanKind::Server),
        find("behavior.v1.Behavior.Wait", SpanKind::Client),
        find("behavior.v1.Behavior.Wait", SpanKind::Server),
    ];
    for pair in chain.windows(2) {
        assert_eq!(
            pair[0].span_context.trace_id(),
            pair[1].span_context.trace_id()
        );
        assert_eq!(pair[1].parent_span_id, pair[0].span_context.span_id());
    }
}

/// Sends the size of each batch.
struct Batches(mpsc::UnboundedSender<usize>);

impl BatchSubscriber<Trade> for Batches {
    async fn on_batch(&self, _: Context, trades: Vec<DurableEvent<Trade>>) -> Result<(), Status> {
        self.0.send(trades.len()).expect("the test waits");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_linked_to_the_publishers_of_its_events() {
    const EVENTS: usize = 4;
    let exporter = exporter();
    let spans = within(Duration::from_secs(30), async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let stream = EventStream::named("MARKET").subject("evt.market.>");
        bus.declare(&stream).await.unwrap();
        for _ in 0..EVENTS {
            let trade = Trade {
                venue: "sim".into(),
                symbol: "a".into(),
                ..Trade::default()
            };
            bus.publish(&trade).await.unwrap();
        }
        let (batches, mut handled) = mpsc::unbounded_channel();
        let server = Server::new(&bus)
            .subscribe_batch::<Trade>(Batches(batches), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        let mut count = 0;
        while count < EVENTS {
            count += handled.recv().await.unwrap();
        }
        server.shutdown().await.unwrap();
        exporter.get_finished_spans().unwrap()
    })
    .await;
    let of_kind = |kind: SpanKind| {
        let is_match =
            move |span: &&SpanData| span.name == "market.v1.Trade" && span.span_kind == kind;
        spans.iter().filter(is_match)
    };
    let published = of_kind(SpanKind::Producer).map(|span| span.span_context.span_id().to_string());
    let mut published = published.collect::<Vec<_>>();
    assert_eq!(published.len(), EVENTS, "{spans:?}");
    let links = of_kind(SpanKind::Consumer).flat_map(|span| span.links.iter());
    let mut linked = links
        .map(|link| link.span_context.span_id().to_string())
        .collect::<Vec<_>>();
    published.sort();
    linked.sort();
    assert_eq!(linked, published);
}
