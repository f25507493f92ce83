//! Failures of careless services are never successes, whatever the call. `wire/failure_tests.rs` has all combinations.

use async_nats::HeaderMap;
use futures_util::StreamExt as _;
use micro_runtime::{ClientOptions, Code, Reason, Status};
use micro_tests::behavior::{BehaviorClient, Blob};
use micro_tests::streams::{CountRequest, StreamsClient};
use prost::Message as _;
use tokio::task::JoinHandle;

use super::plain_service::{MAX_PAYLOAD, small_messages};
use crate::carriers::Carrier;
use crate::layered::with_and_without_layer;
use crate::round_trip::round_trip;

/// Replies to every request of the two services with these headers and this payload.
async fn reply_with(
    carrier: &Carrier,
    headers: &[(&str, &str)],
    payload: Vec<u8>,
) -> JoinHandle<()> {
    let bus = carrier.another_bus().await;
    let nats = bus.nats().unwrap().clone();
    let behavior = nats.subscribe("behavior.v1.Behavior.>").await.unwrap();
    let streams = nats.subscribe("streams.v1.Streams.>").await.unwrap();
    round_trip(&nats).await;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, *value);
    }
    tokio::spawn(async move {
        let mut requests = futures_util::stream::select(behavior, streams);
        while let Some(request) = requests.next().await {
            let (to, payload) = (request.reply.unwrap(), payload.clone().into());
            let mut headers = map.clone();
            // Without the header it would be no reply of an instance.
            if request.subject.contains("._i._all.") {
                headers.insert("Micro-Instance", "a1");
            }
            let sent = nats.publish_with_headers(to, headers, payload);
            sent.await.unwrap();
        }
        drop(bus);
    })
}

/// Returns the error of each kind of call, by name.
async fn failures(carrier: &Carrier, options: &ClientOptions) -> Vec<(&'static str, Status)> {
    let behavior: BehaviorClient = carrier.bus.client_with(options.clone());
    let streams: StreamsClient = carrier.bus.client_with(options.clone());
    let large = vec![1; 2 * MAX_PAYLOAD];
    let blob = Blob {
        data: large.clone(),
    };
    let request = CountRequest {
        padding: large,
        ..CountRequest::default()
    };
    let mut all = behavior
        .echo(Blob::default())
        .to_all()
        .expected(1)
        .await
        .unwrap();
    let one = behavior.clone();
    vec![
        ("unary", behavior.echo(Blob::default()).await.unwrap_err()),
        ("large unary", one.echo(blob).await.unwrap_err()),
        ("all", all.next().await.unwrap().result.unwrap_err()),
        (
            "count",
            streams.count(CountRequest::default()).await.err().unwrap(),
        ),
        ("large count", streams.count(request).await.err().unwrap()),
        ("collect", streams.collect().open().await.err().unwrap()),
        ("echo", streams.echo().open().await.err().unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_fails_where_a_careless_service_does() {
    let cases: [(&[(&str, &str)], Code); 7] = [
        (&[("Nats-Service-Error", "no")], Code::Unknown),
        (&[("Nats-Service-Error-Code", "404")], Code::NotFound),
        (
            &[
                ("nats-service-error-code", "NaN"),
                ("nats-service-error", "no"),
            ],
            Code::Unknown,
        ),
        (
            &[
                ("Nats-Service-Error-Code", "200"),
                ("Nats-Service-Error", "no"),
            ],
            Code::Unknown,
        ),
        (
            &[("Nats-Service-Error-Code", ""), ("Nats-Service-Error", "")],
            Code::Unknown,
        ),
        (
            &[("Micro-Status", "0"), ("Nats-Service-Error-Code", "403")],
            Code::PermissionDenied,
        ),
        (&[("micro-status", "5")], Code::NotFound),
    ];
    let message = Blob { data: b"hi".into() }.encode_to_vec();
    for (headers, code) in cases {
        let carrier = small_messages().await;
        for payload in [Vec::new(), message.clone()] {
            let service = reply_with(&carrier, headers, payload).await;
            for options in with_and_without_layer(&ClientOptions::new()) {
                for (kind, status) in failures(&carrier, &options).await {
                    assert_eq!(status.code(), code, "{kind} {headers:?}: {status}");
                    assert_eq!(status.reason(), None, "{kind} {headers:?}: {status}");
                }
            }
            service.abort();
            assert!(service.await.unwrap_err().is_cancelled());
        }
    }
}

/// 0 bytes are a valid message for a unary call, and nothing for a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_reply_to_the_opening_of_a_stream_is_not_a_service() {
    for payload in [
        Vec::new(),
        b"\x0a\x02hi".to_vec(),
        b"\x18\x08".to_vec(),
        b"{}".to_vec(),
    ] {
        let carrier = small_messages().await;
        let _service = reply_with(&carrier, &[], payload.clone()).await;
        for options in with_and_without_layer(&ClientOptions::new()) {
            let streams: StreamsClient = carrier.bus.client_with(options.clone());
            let behavior: BehaviorClient = carrier.bus.client_with(options.clone());
            let large = Blob {
                data: vec![1; 2 * MAX_PAYLOAD],
            };
            for status in [
                streams.count(CountRequest::default()).await.err().unwrap(),
                streams.collect().open().await.err().unwrap(),
                streams.echo().open().await.err().unwrap(),
                behavior.echo(large).await.unwrap_err(),
            ] {
                assert_eq!(status.code(), Code::Internal, "{payload:?}: {status}");
                assert_eq!(
                    status.reason(),
                    Some(Reason::NotAService),
                    "{payload:?}: {status}"
                );
            }
            if payload.is_empty() {
                let some = Blob { data: b"hi".into() };
                assert_eq!(behavior.echo(some).await.unwrap(), Blob::default());
            }
        }
    }
}
