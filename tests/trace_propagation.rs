//! The trace that OpenTelemetry records of a call within a call, over a real nats-server. It is a test
//! binary of its own, since a process has one subscriber.

use std::time::Duration;

use micro_runtime::{Bus, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, WaitRequest};
use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_subscriber::layer::SubscriberExt as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_calls_are_one_trace() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let runtime_only = tracing_subscriber::filter::Targets::new()
        .with_target("micro_runtime", tracing::Level::INFO);
    let subscriber = tracing_subscriber::registry()
        .with(tracing_subscriber::Layer::with_filter(layer, runtime_only));
    tracing::subscriber::set_global_default(subscriber).unwrap();

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
