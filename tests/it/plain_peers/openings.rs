//! The openings of large requests and of streams, to a service that knows nothing of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use micro_runtime::{Code, Status};
use micro_tests::behavior::{BehaviorClient, Blob};
use micro_tests::streams::{CountRequest, Item, StreamsClient};
use prost::Message;

use super::plain_service::{MAX_PAYLOAD, serve, small_messages};

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
    // A message that fits is served.
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
