//! A service that knows protobuf and NATS alone: each call ends as docs/PROTOCOL.md states, and its handlers run on
//! no message that is not a request of a caller.

use std::time::Duration;

use micro_runtime::{Bus, ClientOptions, Code, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, Blob, Empty, FailRequest, FillRequest, WaitRequest};
use micro_tests::streams::{CountRequest, StreamsClient};
use tower::timeout::TimeoutLayer;

use super::programs::{Language, Program};

/// Maximum length of a message on the nats-server of these tests, in bytes.
pub(super) const MAX_PAYLOAD: usize = 4096;
/// Limit for all calls to one program.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of calls that get no reply.
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_service_in_python() {
    check(Language::Python, Program::Service).await;
}

/// betterproto skips fields of an unknown wire type, and so would take the mark of an opening alone for no field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_service_in_python_with_betterproto() {
    check(Language::Betterproto, Program::Service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_micro_service_in_python() {
    check(Language::Python, Program::MicroService).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_plain_service_in_go() {
    check(Language::Go, Program::Service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_micro_service_in_go() {
    check(Language::Go, Program::MicroService).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_plain_service_in_java() {
    check(Language::Java, Program::Service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_micro_service_in_java() {
    check(Language::Java, Program::MicroService).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_plain_service_in_typescript() {
    check(Language::TypeScript, Program::Service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow foreign"]
async fn a_micro_service_in_typescript() {
    check(Language::TypeScript, Program::MicroService).await;
}

/// Makes every call once without and once with a client layer, and compares how often the handlers ran with the
/// number of requests that were sent.
async fn check(language: Language, program: Program) {
    let nats = NatsServer::builder().max_payload(MAX_PAYLOAD);
    let nats = nats.start().await.unwrap();
    let _process = language.start(program, &nats).await;
    let bus = Bus::connect(nats.url()).await.unwrap();
    let mut runs = 0;
    let layered = ClientOptions::new().layer(TimeoutLayer::new(TIMEOUT));
    for options in [ClientOptions::new(), layered] {
        let calls = async {
            runs += check_calls(&bus.client_with(options.clone())).await;
            assert_eq!(handler_runs(&bus).await, runs, "{language:?}");
            check_openings(&bus, &options).await;
            // Of a server stream the opening is the request of the caller, on which a handler may run.
            runs += check_server_stream(&bus.client_with(options)).await;
            assert_eq!(handler_runs(&bus).await, runs, "{language:?}");
        };
        within(TIMEOUT, calls).await;
    }
    if matches!(program, Program::MicroService) {
        check_discovery(&bus, runs).await;
    }
}

/// Returns how often the handlers of the service ran.
async fn handler_runs(bus: &Bus) -> u64 {
    let reply = bus
        .nats()
        .unwrap()
        .request("runs", "".into())
        .await
        .unwrap();
    String::from_utf8_lossy(&reply.payload).parse().unwrap()
}

fn blob(length: usize) -> Blob {
    Blob {
        data: vec![b'x'; length],
    }
}

/// Checks unary calls, and returns the number of requests that were sent.
async fn check_calls(client: &BehaviorClient) -> u64 {
    // Empty and small.
    assert_eq!(client.echo(blob(0)).await.unwrap(), blob(0));
    assert_eq!(client.nothing(Empty {}).await.unwrap(), Empty {});
    assert_eq!(client.echo(blob(10)).await.unwrap(), blob(10));

    // Large: what fits arrives whole, in both directions.
    let fits = MAX_PAYLOAD - 100;
    assert_eq!(client.echo(blob(fits)).await.unwrap(), blob(fits));
    let request = FillRequest { bytes: fits as u32 };
    assert_eq!(client.fill(request).await.unwrap().data.len(), fits);
    // The library of the service does not send what is too long: it replies nothing, or an error of its own.
    let request = FillRequest {
        bytes: 2 * MAX_PAYLOAD as u32,
    };
    let status = client.fill(request).timeout(SHORT).await.unwrap_err();
    let codes = [
        Code::DeadlineExceeded,
        Code::Internal,
        Code::InvalidArgument,
    ];
    assert!(codes.contains(&status.code()), "{status}");

    // Failing, with headers in small letters.
    let request = FailRequest {
        code: 5,
        text: "ignored".to_owned(),
    };
    let status = client.fail(request).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "no account 7")
    );
    let status = client.panic(blob(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");

    // Slow: the late reply is not that of the next call.
    let request = WaitRequest {
        milliseconds: 1_500,
    };
    let status = client.wait(request).timeout(SHORT / 3).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let request = WaitRequest { milliseconds: 0 };
    assert_eq!(client.wait(request).await.unwrap(), blob(0));
    10
}

/// Checks that no handler can run on the opening of a stream that carries no request.
async fn check_openings(bus: &Bus, options: &ClientOptions) {
    let behavior: BehaviorClient = bus.client_with(options.clone());
    let streams: StreamsClient = bus.client_with(options.clone());
    refused(behavior.echo(blob(2 * MAX_PAYLOAD)).await);
    refused(streams.collect().open().await);
    refused(streams.echo().open().await);
    let large = CountRequest {
        plan: "x".repeat(2 * MAX_PAYLOAD),
        ..CountRequest::default()
    };
    refused(streams.count(large).await);
}

/// Checks that the service has refused the opening of a stream, as bytes that are no message.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Status>) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

/// Checks that a plain reply is not taken for a stream, and returns the number of requests that were sent.
async fn check_server_stream(client: &StreamsClient) -> u64 {
    let request = CountRequest {
        messages: 3,
        ..CountRequest::default()
    };
    let status = client.count(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    1
}

/// Checks that the service is found with its records, also with an empty value in its metadata.
async fn check_discovery(bus: &Bus, runs: u64) {
    let found = bus.discovery().list().expected(1).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].name, "plain-behavior");
    assert_eq!(found[0].metadata["zone"], "eu");
    assert_eq!(found[0].metadata["team"], "");
    let stats = bus.discovery().stats().expected(1).await.unwrap();
    let requests = stats[0]
        .endpoints
        .iter()
        .map(|endpoint| endpoint.num_requests);
    // Those of the openings, which no handler ran on, are requests to the service's library.
    assert_eq!(requests.sum::<u64>(), runs + 8);
}
