//! Replies of peers that know NATS alone: malformed headers, and content types that the caller has not asked for. Each
//! case has one outcome, with and without middleware at the client.

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, ClientOptions, Code, Reason, Server, Status};
use micro_tests::MirrorHandler;
use micro_tests::behavior::Blob;
use micro_tests::json::MirrorServer;
use micro_tests::streams::{CountRequest, StreamsClient};
use prost::Message as _;
use serde_json::Value;

use crate::behavior::requests::blob;
use crate::carriers::Carrier;
use crate::layered::clients;
use crate::round_trip::round_trip;

/// Replies to each request on `subject` with these headers and this payload.
async fn reply_with(bus: &Bus, subject: &str, headers: &[(&str, &str)], payload: impl Into<Bytes>) {
    let nats = bus.nats().unwrap().clone();
    let mut requests = nats.subscribe(subject.to_owned()).await.unwrap();
    round_trip(&nats).await;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, *value);
    }
    let payload = payload.into();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.unwrap();
            let sent = nats.publish_with_headers(reply, map.clone(), payload.clone());
            sent.await.unwrap();
        }
    });
}

fn echoed() -> Vec<u8> {
    blob(b"echoed").encode_to_vec()
}

#[track_caller]
fn check(status: &Status, reason: Reason, parts: &[&str]) {
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert_eq!(status.reason(), Some(reason), "{status}");
    for part in parts {
        assert!(status.message().contains(part), "`{part}` in {status}");
    }
}

/// The caller, who wrote the request, has made no mistake.
#[tokio::test]
async fn a_malformed_header_of_a_reply_is_not_the_callers_fault() {
    let long = "x".repeat(9_000);
    let cases: [(&str, &str, &str); 4] = [
        ("cursor-bin", "!!!!", "`cursor-bin` is not base64"),
        ("Cursor-Bin", "AA", "`cursor-bin` is not base64"),
        ("tenant", "a\tb", "`tenant` must be printable ASCII"),
        ("long", &long, "8192"),
    ];
    for (name, value, flaw) in cases {
        let carrier = Carrier::nats().await;
        let bus = carrier.another_bus().await;
        let headers = [("kept", "yes"), ("Micro-Instance", "a1"), (name, value)];
        reply_with(&bus, "behavior.v1.Behavior.Echo", &headers, echoed()).await;
        reply_with(
            &bus,
            "behavior.v1.Behavior._i._all.Echo",
            &headers,
            echoed(),
        )
        .await;
        for client in clients(&carrier.bus, &ClientOptions::new()) {
            // A call that does not ask for the headers succeeds.
            assert_eq!(client.echo(blob(b"")).await.unwrap(), blob(b"echoed"));
            let parts = [
                "the reply of behavior.v1.Behavior.Echo has a malformed header",
                flaw,
            ];
            let status = client.echo(blob(b"")).with_metadata().await.unwrap_err();
            check(&status, Reason::BadHeader, &parts);
            let mut replies = client.echo(blob(b"")).to_all().expected(1).await.unwrap();
            let reply = replies.next().await.unwrap();
            check(&reply.result.unwrap_err(), Reason::BadHeader, &parts);
            assert_eq!(reply.metadata.get("kept"), Some("yes"));
        }
    }
}

#[tokio::test]
async fn a_malformed_header_of_a_failure_does_not_hide_the_failure() {
    let carrier = Carrier::nats().await;
    let headers = [("Micro-Status", "5"), ("cursor-bin", "!!!!")];
    let bus = carrier.another_bus().await;
    reply_with(&bus, "behavior.v1.Behavior.Echo", &headers, "").await;
    reply_with(&bus, "streams.v1.Streams.Count", &headers, "").await;
    for client in clients(&carrier.bus, &ClientOptions::new()) {
        let status = client.echo(blob(b"")).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        let status = client.echo(blob(b"")).with_metadata().await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
    let client: StreamsClient = carrier.bus.client();
    let status = client.count(CountRequest::default()).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_reply_of_another_content_type_is_an_error_that_names_both() {
    // The last two payloads are messages of protobuf, too: the header decides.
    let cases: [(&str, Bytes); 4] = [
        ("application/json", r#"{"data":"eA=="}"#.into()),
        ("text/plain", "hello".into()),
        ("application/json", echoed().into()),
        ("application/grpc", Bytes::new()),
    ];
    for (content_type, payload) in cases {
        let carrier = Carrier::nats().await;
        let bus = carrier.another_bus().await;
        let headers = [("Micro-Instance", "a1"), ("content-type", content_type)];
        for subject in [
            "behavior.v1.Behavior.Echo",
            "behavior.v1.Behavior._i._all.Echo",
            "streams.v1.Streams.Count",
        ] {
            reply_with(&bus, subject, &headers, payload.clone()).await;
        }
        let found = format!("`Content-Type: {content_type}`");
        let parts = [
            "the reply of behavior.v1.Behavior.Echo has",
            &found,
            "expected protobuf",
        ];
        for client in clients(&carrier.bus, &ClientOptions::new()) {
            let status = client.echo(blob(b"")).await.unwrap_err();
            check(&status, Reason::ContentType, &parts);
            let mut replies = client.echo(blob(b"")).to_all().expected(1).await.unwrap();
            let reply = replies.next().await.unwrap();
            check(&reply.result.unwrap_err(), Reason::ContentType, &parts);
        }
        let client: StreamsClient = carrier.bus.client();
        let status = client.count(CountRequest::default()).await.err().unwrap();
        check(&status, Reason::ContentType, &[&found, "expected protobuf"]);
    }
}

#[tokio::test]
async fn protobuf_has_several_names() {
    for name in [
        "application/protobuf",
        "application/x-protobuf",
        "application/vnd.google.protobuf",
    ] {
        let carrier = Carrier::nats().await;
        let bus = carrier.another_bus().await;
        let headers = [("Content-Type", name)];
        reply_with(&bus, "behavior.v1.Behavior.Echo", &headers, echoed()).await;
        for client in clients(&carrier.bus, &ClientOptions::new()) {
            assert_eq!(client.echo(blob(b"")).await.unwrap(), blob(b"echoed"));
        }
    }
}

#[tokio::test]
async fn a_call_in_json_takes_a_reply_in_json_alone() {
    // The payloads of the last two are JSON; without the header they are not read as such.
    let cases = [
        (
            Some("application/protobuf"),
            "",
            "`Content-Type: application/protobuf`",
        ),
        (Some("text/plain"), "{}", "`Content-Type: text/plain`"),
        (None, "{}", "no header `Content-Type`"),
        (None, r#"{"number":1}"#, "no header `Content-Type`"),
    ];
    for (content_type, payload, found) in cases {
        let headers = content_type.map(|content_type| ("Content-Type", content_type));
        let headers = headers.as_slice();
        let carrier = Carrier::nats().await;
        let server = Server::new(&carrier.bus).add(MirrorServer::new(MirrorHandler));
        let server = server.start().await.unwrap();
        let bus = carrier.another_bus().await;
        let client = bus.dynamic("json.v1.Mirror").await.unwrap().in_json();
        server.shutdown().await.unwrap();
        reply_with(&bus, "json.v1.Mirror.Show", headers, payload).await;
        let status = client.call("Show", "{}").await.unwrap_err();
        let parts = ["json.v1.Mirror.Show", found, "expected `application/json`"];
        check(&status, Reason::ContentType, &parts);
    }
}

/// `call_raw` passes bytes on, whatever they are.
#[tokio::test]
async fn a_raw_call_takes_a_reply_of_any_content_type() {
    // Each on a nats-server of its own: the responders of the others would reply too.
    let content_types = ["text/plain", "application/json", "application/protobuf"];
    let cases = content_types.map(|content_type| [(content_type, false), (content_type, true)]);
    for (content_type, is_json) in cases.into_iter().flatten() {
        let carrier = Carrier::nats().await;
        let server = Server::new(&carrier.bus).add(MirrorServer::new(MirrorHandler));
        let server = server.start().await.unwrap();
        let bus = carrier.another_bus().await;
        let client = bus.dynamic("json.v1.Mirror").await.unwrap();
        let client = match is_json {
            true => client.in_json(),
            false => client,
        };
        server.shutdown().await.unwrap();
        let headers = [("Content-Type", content_type), ("cursor-bin", "!")];
        let payload = format!("of {content_type}");
        reply_with(&bus, "json.v1.Mirror.Show", &headers, payload.clone()).await;
        let reply = client.call_raw("Show", "").await.unwrap();
        assert_eq!(reply.message, payload);
    }
}

/// A caller that writes JSON reads JSON, also where the service does not serve it.
#[tokio::test]
async fn failures_to_callers_in_json_are_json() {
    let carrier = Carrier::nats().await;
    let server = Server::new(&carrier.bus).add(MirrorServer::new(MirrorHandler));
    let _server = server.start().await.unwrap();
    let nats = &carrier.bus.nats().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/json");
    let instance = carrier.bus.discovery().list().await.unwrap()[0].id.clone();
    let cases: [(&str, String, &str, u64); 4] = [
        ("no JSON at all", "json.v1.Mirror.Show".into(), "{", 3),
        (
            "a failure",
            "json.v1.Mirror.Fail".into(),
            r#"{"code":5,"text":"gone"}"#,
            5,
        ),
        (
            "no method",
            format!("json.v1.Mirror._i.{instance}.Nothing"),
            "{}",
            12,
        ),
        ("to all", "json.v1.Mirror._i._all.Show".into(), "{", 3),
    ];
    for (case, subject, request, code) in cases {
        let request =
            nats.request_with_headers(subject, headers.clone(), request.to_owned().into());
        let reply = request.await.unwrap();
        let headers = reply.headers.as_ref().unwrap();
        let content_type = headers.get("Content-Type").unwrap().as_str();
        assert_eq!(content_type, "application/json", "{case}");
        let failure: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(failure["code"], code, "{case}: {failure}");
    }
}

/// Beside many kinds of garbage: the failure quotes it, and is no success.
#[tokio::test]
async fn garbage_in_the_status_is_a_failure_that_quotes_it() {
    for value in [
        "five",
        "-5",
        "+5",
        "5.0",
        "",
        "18446744073709551616",
        "99",
        "0x5",
        "05",
        "00",
        "000",
        "+0",
        "-0",
    ] {
        let carrier = Carrier::nats().await;
        let bus = carrier.another_bus().await;
        let headers = [("Micro-Status", value)];
        reply_with(&bus, "behavior.v1.Behavior.Echo", &headers, echoed()).await;
        for client in clients(&carrier.bus, &ClientOptions::new()) {
            let status = client.echo(Blob::default()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unknown, "{value}: {status}");
            let quoted = format!("`Micro-Status: {value}`");
            assert!(status.message().contains(&quoted), "{status}");
        }
    }
}
