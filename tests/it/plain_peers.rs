//! Services and callers of ten lines, which know nothing of streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Code, Status};
use micro_testkit::NatsServer;
use micro_tests::behavior::{BehaviorClient, Blob};
use micro_tests::streams::{CountRequest, Item, StreamsClient};
use prost::Message;

use crate::carriers::Carrier;

/// Maximum length of a message on the nats-server of these tests, in bytes.
const MAX_PAYLOAD: usize = 4096;

/// A carrier whose nats-server takes small messages only, so that parts are needed early.
async fn small_messages() -> Carrier {
    let nats = NatsServer::builder().max_payload(MAX_PAYLOAD).start();
    let nats = nats.await.unwrap();
    Carrier {
        bus: Bus::connect(nats.url()).await.unwrap(),
        nats: Some(nats),
    }
}

/// Serves a method as a program does that knows protobuf and NATS alone: decodes the payload, runs, replies.
/// Returns how often its handler has run.
async fn serve<Req: Message + Default>(
    carrier: &Carrier,
    subject: &'static str,
    reply: impl Fn(Req) -> Vec<u8> + Send + 'static,
) -> Arc<AtomicUsize> {
    let runs = Arc::new(AtomicUsize::new(0));
    let bus = carrier.another_bus().await;
    let nats = bus.nats().unwrap().clone();
    let mut requests = nats.subscribe(subject).await.unwrap();
    // A round trip: the nats-server knows the subscription from here on.
    let unheard = nats.request("no.responders", "".into());
    unheard.await.unwrap_err();
    tokio::spawn({
        let runs = Arc::clone(&runs);
        async move {
            let _bus = bus;
            while let Some(message) = requests.next().await {
                let to = message.reply.unwrap();
                match Req::decode(message.payload) {
                    Ok(request) => {
                        runs.fetch_add(1, Ordering::SeqCst);
                        nats.publish(to, reply(request).into()).await.unwrap();
                    }
                    Err(error) => {
                        let mut headers = HeaderMap::new();
                        headers.insert("Nats-Service-Error", error.to_string().as_str());
                        headers.insert("Nats-Service-Error-Code", "400");
                        let sent = nats.publish_with_headers(to, headers, "".into());
                        sent.await.unwrap();
                    }
                }
            }
        }
    });
    runs
}

/// Checks that the call failed and no handler ran.
#[track_caller]
fn check_not_run<T: std::fmt::Debug>(result: Result<T, Status>, runs: &AtomicUsize) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(runs.load(Ordering::SeqCst), 0, "{status}");
}

#[tokio::test]
async fn a_service_without_streams_never_runs_on_the_opening_of_a_large_request() {
    let carrier = small_messages().await;
    let runs = serve(&carrier, "behavior.v1.Behavior.Echo", |blob: Blob| {
        blob.encode_to_vec()
    })
    .await;
    let client: BehaviorClient = carrier.bus.client();
    let large = Blob {
        data: vec![b'x'; 2 * MAX_PAYLOAD],
    };
    check_not_run(client.echo(large).await, &runs);
    // What fits is served.
    let small = Blob {
        data: vec![b'x'; 10],
    };
    assert_eq!(client.echo(small.clone()).await.unwrap(), small);
    assert_eq!(client.echo(Blob::default()).await.unwrap(), Blob::default());
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_without_streams_never_runs_on_the_opening_of_a_stream_of_requests() {
    let carrier = small_messages().await;
    let client: StreamsClient = carrier.bus.client();
    let runs = serve(&carrier, "streams.v1.Streams.Collect", |item: Item| {
        item.encode_to_vec()
    })
    .await;
    check_not_run(client.collect().open().await, &runs);
    let runs = serve(&carrier, "streams.v1.Streams.Echo", |item: Item| {
        item.encode_to_vec()
    })
    .await;
    check_not_run(client.echo().open().await, &runs);
}

#[tokio::test]
async fn a_service_without_streams_never_runs_on_the_opening_of_a_large_request_for_a_stream() {
    let carrier = small_messages().await;
    let client: StreamsClient = carrier.bus.client();
    let runs = serve(
        &carrier,
        "streams.v1.Streams.Count",
        |item: CountRequest| item.encode_to_vec(),
    )
    .await;
    let large = CountRequest {
        plan: "x".repeat(2 * MAX_PAYLOAD),
        ..CountRequest::default()
    };
    check_not_run(client.count(large).await, &runs);
}
