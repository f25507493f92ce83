//! What goes over the wire, seen by a NATS client that knows nothing of us.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::{Bus, Code, Reason, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

struct Bench {
    _nats: NatsServer,
    bus: Bus,
    hand: async_nats::Client,
    handler: BehaviorHandler,
    _server: micro_runtime::RunningServer,
}

async fn bench() -> Bench {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let handler = BehaviorHandler::on(&bus);
    let server = Server::new(&bus)
        .add(BehaviorServer::new(handler.clone()))
        .start()
        .await
        .unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    Bench {
        _nats: nats,
        bus,
        hand,
        handler,
        _server: server,
    }
}

impl Bench {
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
            true => self.hand.request(subject, payload).await,
            false => self.hand.request_with_headers(subject, map, payload).await,
        };
        reply.unwrap()
    }
}

/// Returns when the server knows every subscription of this connection; `flush` proves nothing.
async fn settle(hand: &async_nats::Client) {
    let nobody = hand.request("nobody.serves.this", "".into()).await;
    assert!(nobody.is_err());
}

async fn next(subscription: &mut async_nats::Subscriber) -> Message {
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
async fn a_success_is_bare_protobuf_without_headers() {
    let bench = bench().await;
    // Blob { data: "hi" }
    let reply = bench.request("Echo", &[], b"\x0a\x02hi").await;
    assert_eq!(&reply.payload[..], b"\x0a\x02hi");
    assert!(reply.headers.is_none());
}

#[tokio::test]
async fn a_request_on_the_plain_path_is_bare_protobuf_without_headers() {
    let bench = bench().await;
    let mut listener = bench
        .hand
        .subscribe("behavior.v1.Behavior.Echo")
        .await
        .unwrap();
    settle(&bench.hand).await;
    let client: BehaviorClient = bench.bus.client();
    client.echo(Blob { data: b"hi".into() }).await.unwrap();
    let request = next(&mut listener).await;
    assert_eq!(&request.payload[..], b"\x0a\x02hi");
    assert!(request.headers.is_none());
    let again = client.echo(Blob { data: b"hi".into() });
    again.timeout(Duration::from_secs(1)).await.unwrap();
    let request = next(&mut listener).await;
    let timeout = header(&request, "Micro-Timeout").parse::<u32>().unwrap();
    assert!((900..=1000).contains(&timeout), "{timeout}");
}

#[tokio::test]
async fn a_failure_has_the_headers_of_the_protocol() {
    let bench = bench().await;
    // FailRequest { code: 5, text: "no\nway" }
    let reply = bench.request("Fail", &[], b"\x08\x05\x12\x06no\nway").await;
    assert_eq!(header(&reply, "Micro-Status"), "5");
    assert_eq!(header(&reply, "Nats-Service-Error-Code"), "404");
    assert_eq!(header(&reply, "Nats-Service-Error"), "no%0Away");
    assert_eq!(header(&reply, "failed-by"), "behaving");
    assert_eq!(&reply.payload[..], b"\x08\x05\x12\x06no\nway");
}

#[tokio::test]
async fn garbage_of_many_kinds_is_answered() {
    let bench = bench().await;
    let check = async |headers: &[(&str, &str)], payload: &'static [u8], code: &str| {
        let reply = bench.request("Echo", headers, payload).await;
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
    let reply = bench
        .request(
            "Echo",
            &[("Upper", "x"), ("Content-Type", "application/protobuf")],
            b"",
        )
        .await;
    assert!(reply.headers.is_none());
}

#[tokio::test]
async fn the_server_says_when_the_deadline_has_passed() {
    let bench = bench().await;
    // WaitRequest { milliseconds: 60000 }, and a caller that waits longer than it says.
    let reply = bench
        .request("Wait", &[("Micro-Timeout", "100")], b"\x08\xe0\xd4\x03")
        .await;
    assert_eq!(header(&reply, "Micro-Status"), "4");
    assert_eq!(header(&reply, "Nats-Service-Error-Code"), "504");
}

#[tokio::test]
async fn a_reply_goes_only_to_an_allowed_prefix() {
    let bench = bench().await;
    let mut elsewhere = bench.hand.subscribe("admin.>").await.unwrap();
    let subject = "behavior.v1.Behavior.Wait";
    bench
        .hand
        .publish_with_reply(subject, "admin.delete", "".into())
        .await
        .unwrap();
    // Requests on one subject are taken in order: once this one is answered that one is done.
    bench.request("Wait", &[], b"").await;
    assert_eq!(
        bench.handler.started(),
        1,
        "the handler ran for a forbidden reply"
    );
    bench.hand.publish("admin.marker", "".into()).await.unwrap();
    assert_eq!(next(&mut elsewhere).await.subject.as_str(), "admin.marker");
}

#[tokio::test]
async fn a_request_without_a_reply_subject_runs() {
    let bench = bench().await;
    bench
        .hand
        .publish("behavior.v1.Behavior.Wait", "".into())
        .await
        .unwrap();
    bench.request("Wait", &[], b"").await;
    let ran = async {
        while bench.handler.started() < 2 {
            tokio::task::yield_now().await;
        }
    };
    within(Duration::from_secs(10), ran).await;
}

#[tokio::test]
async fn a_captured_call_subject_is_named() {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let config = r#"{"name":"ALL","subjects":["behavior.>"]}"#;
    let made = hand
        .request("$JS.API.STREAM.CREATE.ALL", config.into())
        .await
        .unwrap();
    assert!(
        !String::from_utf8_lossy(&made.payload).contains("error"),
        "{made:?}"
    );
    let client: BehaviorClient = bus.client();
    let status = client.echo(Blob::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.reason(), Some(Reason::NotAService));
}

#[tokio::test]
async fn a_peer_that_knows_only_adr_32_is_understood() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let mut requests = hand.subscribe("behavior.v1.Behavior.Echo").await.unwrap();
    settle(&hand).await;
    let responder = tokio::spawn(async move {
        let request = requests.next().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Service-Error-Code", "404");
        headers.insert("Nats-Service-Error", "no such thing");
        let reply = request.reply.unwrap();
        hand.publish_with_headers(reply, headers, "free text".into())
            .await
            .unwrap();
        hand.flush().await.unwrap();
    });
    let client: BehaviorClient = bus.client();
    let status = client.echo(Blob::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no such thing");
    responder.await.unwrap();
}

#[tokio::test]
async fn a_reply_that_is_no_message_is_an_error() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let hand = async_nats::connect(nats.url()).await.unwrap();
    let mut requests = hand.subscribe("behavior.v1.Behavior.Echo").await.unwrap();
    settle(&hand).await;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            hand.publish(request.reply.unwrap(), "\u{7f}\u{7f}".into())
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
