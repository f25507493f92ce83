//! The messages on the wire, as a plain NATS client sends and receives them.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Code, Reason, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use crate::round_trip::round_trip;

/// A plain NATS client beside the running service `behavior.v1.Behavior`.
struct WireFixture {
    _nats: NatsServer,
    bus: Bus,
    plain_client: async_nats::Client,
    handler: BehaviorHandler,
    _server: micro_runtime::RunningServer,
}

async fn start_fixture() -> WireFixture {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let handler = BehaviorHandler::on(&bus);
    let server = Server::new(&bus)
        .add(BehaviorServer::new(handler.clone()))
        .start()
        .await
        .unwrap();
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    WireFixture {
        _nats: nats,
        bus,
        plain_client,
        handler,
        _server: server,
    }
}

impl WireFixture {
    async fn request(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        payload: &'static [u8],
    ) -> Message {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let subject = format!("behavior.v1.Behavior.{method}");
        let payload = Bytes::from_static(payload);
        let reply = match headers.is_empty() {
            true => self.plain_client.request(subject, payload).await,
            false => {
                self.plain_client
                    .request_with_headers(subject, map, payload)
                    .await
            }
        };
        reply.unwrap()
    }
}

async fn next_message(subscription: &mut async_nats::Subscriber) -> Message {
    within(Duration::from_secs(20), subscription.next())
        .await
        .unwrap()
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    message
        .headers
        .as_ref()
        .unwrap()
        .get(name)
        .unwrap()
        .as_str()
}

#[tokio::test]
async fn a_reply_is_bare_protobuf_without_headers() {
    let fixture = start_fixture().await;
    // Blob { data: "hi" }
    let reply = fixture.request("Echo", &[], b"\x0a\x02hi").await;
    assert_eq!(&reply.payload[..], b"\x0a\x02hi");
    assert!(reply.headers.is_none());
}

#[tokio::test]
async fn a_request_is_bare_protobuf_without_headers() {
    let fixture = start_fixture().await;
    let mut requests = fixture
        .plain_client
        .subscribe("behavior.v1.Behavior.Echo")
        .await
        .unwrap();
    round_trip(&fixture.plain_client).await;
    let client: BehaviorClient = fixture.bus.client();
    client.echo(Blob { data: b"hi".into() }).await.unwrap();
    let request = next_message(&mut requests).await;
    assert_eq!(&request.payload[..], b"\x0a\x02hi");
    assert!(request.headers.is_none());
    let call = client.echo(Blob { data: b"hi".into() });
    call.timeout(Duration::from_secs(60)).await.unwrap();
    let request = next_message(&mut requests).await;
    let timeout = header(&request, "Micro-Timeout").parse::<u32>().unwrap();
    assert!((50_000..=60_000).contains(&timeout), "{timeout}");
}

#[tokio::test]
async fn a_failure_has_the_headers_of_the_protocol() {
    let fixture = start_fixture().await;
    // FailRequest { code: 5, text: "no\nway" }
    let reply = fixture
        .request("Fail", &[], b"\x08\x05\x12\x06no\nway")
        .await;
    assert_eq!(header(&reply, "Micro-Status"), "5");
    assert_eq!(header(&reply, "Nats-Service-Error-Code"), "404");
    assert_eq!(header(&reply, "Nats-Service-Error"), "no%0Away");
    assert_eq!(header(&reply, "failed-by"), "behaving");
    assert_eq!(&reply.payload[..], b"\x08\x05\x12\x06no\nway");
}

#[tokio::test]
async fn invalid_requests_get_a_status() {
    let fixture = start_fixture().await;
    let check = async |headers: &[(&str, &str)], payload: &'static [u8], code: &str| {
        let reply = fixture.request("Echo", headers, payload).await;
        assert_eq!(
            header(&reply, "Micro-Status"),
            code,
            "{headers:?} {payload:?}"
        );
    };
    check(&[], b"\xff\xff\xff", "3").await;
    check(&[], b"\x0a\x7fshort", "3").await;
    check(&[("Content-Type", "application/xml")], b"<x/>", "12").await;
    check(&[("Content-Type", "text/html")], b"", "12").await;
    check(&[("Micro-Timeout", "soon")], b"", "3").await;
    check(&[("Micro-Timeout", "0")], b"", "3").await;
    check(&[("Micro-Timeout", "-5")], b"", "3").await;
    check(&[("id-bin", "***")], b"", "3").await;
    let long = "x".repeat(9 * 1024);
    check(&[("long", long.as_str())], b"", "8").await;
    let reply = fixture
        .request(
            "Echo",
            &[("Upper", "x"), ("Content-Type", "application/protobuf")],
            b"",
        )
        .await;
    assert!(reply.headers.is_none());
}

#[tokio::test]
async fn a_passed_deadline_is_reported_by_the_server() {
    let fixture = start_fixture().await;
    // WaitRequest { milliseconds: 60000 }, and a caller that waits longer than its header states.
    let reply = fixture
        .request("Wait", &[("Micro-Timeout", "100")], b"\x08\xe0\xd4\x03")
        .await;
    assert_eq!(header(&reply, "Micro-Status"), "4");
    assert_eq!(header(&reply, "Nats-Service-Error-Code"), "504");
}

#[tokio::test]
async fn replies_are_sent_to_allowed_prefixes_only() {
    let fixture = start_fixture().await;
    let mut forbidden = fixture.plain_client.subscribe("admin.>").await.unwrap();
    let subject = "behavior.v1.Behavior.Wait";
    fixture
        .plain_client
        .publish_with_reply(subject, "admin.delete", "".into())
        .await
        .unwrap();
    // Requests on one subject are handled in order: after this reply the first request is done.
    fixture.request("Wait", &[], b"").await;
    assert_eq!(
        fixture.handler.started(),
        1,
        "the handler ran for a forbidden reply subject"
    );
    fixture
        .plain_client
        .publish("admin.marker", "".into())
        .await
        .unwrap();
    assert_eq!(
        next_message(&mut forbidden).await.subject.as_str(),
        "admin.marker"
    );
}

#[tokio::test]
async fn a_request_without_a_reply_subject_is_handled() {
    let fixture = start_fixture().await;
    fixture
        .plain_client
        .publish("behavior.v1.Behavior.Wait", "".into())
        .await
        .unwrap();
    fixture.request("Wait", &[], b"").await;
    let ran = async {
        while fixture.handler.started() < 2 {
            tokio::task::yield_now().await;
        }
    };
    within(Duration::from_secs(10), ran).await;
}

#[tokio::test]
async fn a_call_that_a_stream_captures_is_not_a_service() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    let config = r#"{"name":"ALL","subjects":["behavior.>"]}"#;
    let created = plain_client
        .request("$JS.API.STREAM.CREATE.ALL", config.into())
        .await
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&created.payload).contains("error"),
        "{created:?}"
    );
    let client: BehaviorClient = bus.client();
    let status = client.echo(Blob::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.reason(), Some(Reason::NotAService));
}

#[tokio::test]
async fn an_error_reply_of_adr_32_becomes_a_status() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    let mut requests = plain_client
        .subscribe("behavior.v1.Behavior.Echo")
        .await
        .unwrap();
    round_trip(&plain_client).await;
    let responder = tokio::spawn(async move {
        let request = requests.next().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Service-Error-Code", "404");
        headers.insert("Nats-Service-Error", "no such thing");
        let reply = request.reply.unwrap();
        plain_client
            .publish_with_headers(reply, headers, "free text".into())
            .await
            .unwrap();
        plain_client.flush().await.unwrap();
    });
    let client: BehaviorClient = bus.client();
    let status = client.echo(Blob::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no such thing");
    responder.await.unwrap();
}

#[tokio::test]
async fn an_undecodable_reply_is_an_internal_error() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let plain_client = async_nats::connect(nats.url()).await.unwrap();
    let mut requests = plain_client
        .subscribe("behavior.v1.Behavior.Echo")
        .await
        .unwrap();
    round_trip(&plain_client).await;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            plain_client
                .publish(request.reply.unwrap(), "\u{7f}\u{7f}".into())
                .await
                .unwrap();
        }
    });
    let client: BehaviorClient = bus.client();
    let status = client.echo(Blob::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.reason(), Some(Reason::Undecodable));
    assert!(status.message().contains("behavior.v1.Blob"), "{status}");
}
