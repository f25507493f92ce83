//! The recorded replies, records and events of servers of each wire, sent to a client of this one.

use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt as _;
use micro_runtime::discovery::{Change, Record};
use micro_runtime::{Bus, ClientOptions, Code, Reason, Service as _, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, FailRequest, FillRequest};
use micro_tests::market::{Closed, ClosedFilter};
use micro_tests::streams::{CountRequest, StreamsClient};

use super::exchange;
use super::exchange::{Exchange, WireMessage};
use super::record::SMALL_PAYLOAD;
use crate::round_trip::round_trip;

const SERVICE: &str = "behavior.v1.Behavior";

/// A bus of this version, and a plain NATS client that plays a peer of another one.
struct ClientFixture {
    _nats_server: NatsServer,
    bus: Bus,
    nats: Client,
}

impl ClientFixture {
    async fn start(max_payload: usize) -> Self {
        let nats_server = NatsServer::builder().max_payload(max_payload);
        let nats_server = nats_server.start().await.unwrap();
        Self {
            bus: Bus::connect(nats_server.url()).await.unwrap(),
            nats: async_nats::connect(nats_server.url()).await.unwrap(),
            _nats_server: nats_server,
        }
    }

    /// Replies to each request on `subject` with the recorded replies, until the result is dropped.
    async fn reply(&self, subject: &str, exchange: &Exchange) -> Responder {
        let replies = exchange.replies().cloned().collect::<Vec<_>>();
        self.reply_with(subject, replies).await
    }

    async fn reply_with(&self, subject: &str, replies: Vec<WireMessage>) -> Responder {
        let mut requests = self.nats.subscribe(subject.to_owned()).await.unwrap();
        round_trip(&self.nats).await;
        let nats = self.nats.clone();
        let task = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                for message in &replies {
                    let to = request.reply.clone().unwrap();
                    let (headers, payload) = (message.header_map(), message.payload.clone());
                    let sent = nats.publish_with_headers(to, headers, payload);
                    sent.await.unwrap();
                }
            }
        });
        Responder(task)
    }

    async fn publish(&self, message: &WireMessage) {
        let (headers, payload) = (message.header_map(), message.payload.clone());
        let subject = message.subject.clone();
        let sent = self.nats.publish_with_headers(subject, headers, payload);
        sent.await.unwrap();
    }
}

struct Responder(tokio::task::JoinHandle<()>);

impl Drop for Responder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn hi() -> Blob {
    Blob { data: b"hi".into() }
}

/// Checks that an instance of the recorded wire is not called by its id.
fn check_not_addressed(wire: &str, record: &impl Record) {
    let status = ClientOptions::new().instance_of(record).unwrap_err();
    check_refused(wire, &status);
}

#[track_caller]
fn check_refused(wire: &str, status: &Status) {
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert_eq!(status.reason(), Some(Reason::WireVersion), "{status}");
    let named = format!("version `{wire}`");
    assert!(status.message().contains(&named), "{status}");
    assert!(status.message().contains("`2`"), "{status}");
}

/// Checks that the refusal of a server of the recorded wire, which does not know ours, arrives as it is.
#[track_caller]
fn check_refused_by_server<T>(wire: &str, result: Result<T, Status>) {
    let status = result.err().unwrap();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    let text = status.message();
    assert!(
        text.contains("version `2`") && text.contains(wire),
        "{text}"
    );
}

/// Plays one exchange to a client, and checks its outcome. Returns whether a client takes part in the exchange.
#[expect(clippy::too_many_lines, reason = "one arm per kind of message")]
async fn play(fixture: &ClientFixture, wire: &str, exchange: &Exchange) -> bool {
    let ClientFixture { bus, .. } = fixture;
    let subject = exchange.messages[0].subject.as_str();
    let client: BehaviorClient = bus.client();
    match exchange.name.as_str() {
        "echo" | "echo with metadata" => {
            let _peer = fixture.reply(subject, exchange).await;
            assert_eq!(client.echo(hi()).await.unwrap(), hi());
        }
        "echo of nothing" => {
            let _peer = fixture.reply(subject, exchange).await;
            assert_eq!(client.echo(hi()).await.unwrap(), Blob::default());
        }
        "echo of one instance" => {
            let _peer = fixture.reply(subject, exchange).await;
            let id = subject.split('.').nth(4).unwrap();
            let options = ClientOptions::new().instance(id);
            let one: BehaviorClient = bus.client_with(options);
            assert_eq!(one.echo(hi()).await.unwrap(), hi());
        }
        "echo of all instances" => {
            let _peer = fixture.reply(subject, exchange).await;
            let mut replies = client.echo(hi()).to_all().expected(1).await.unwrap();
            let reply = replies.next().await.unwrap();
            let id = exchange.reply().unwrap().header("Micro-Instance");
            assert_eq!(Some(reply.instance.as_str()), id);
            assert_eq!(reply.result.unwrap(), hi());
        }
        "failure of the handler" => {
            let _peer = fixture.reply(subject, exchange).await;
            let status = client.fail(FailRequest::default()).await.unwrap_err();
            assert_eq!(status.code(), Code::NotFound);
            assert_eq!(status.message(), "no account 7");
            assert_eq!(status.reason(), None);
        }
        "failure of the runtime" => {
            let _peer = fixture.reply(subject, exchange).await;
            let status = client.panic(hi()).await.unwrap_err();
            assert_eq!(status.code(), Code::Internal);
            assert_eq!(status.reason(), Some(Reason::Panicked));
        }
        "ping" => {
            let _peer = fixture.reply(subject, exchange).await;
            let found = bus
                .discovery()
                .ping()
                .of(SERVICE)
                .expected(1)
                .await
                .unwrap();
            assert_eq!(found[0].instance.metadata["micro.wire"], wire);
            check_not_addressed(wire, &found[0]);
        }
        "info" => {
            let _peer = fixture.reply(subject, exchange).await;
            let found = bus.discovery().get(SERVICE).expected(1).await.unwrap();
            assert!(!found[0].endpoints.is_empty());
            check_not_addressed(wire, &found[0]);
            check_refused(wire, &bus.dynamic(SERVICE).await.unwrap_err());
        }
        "stats" => {
            let _peer = fixture.reply(subject, exchange).await;
            let found = bus
                .discovery()
                .stats()
                .of(SERVICE)
                .expected(1)
                .await
                .unwrap();
            assert!(found[0].data.is_some());
            check_not_addressed(wire, &found[0]);
        }
        "echo in JSON" | "failure in JSON" => {
            let schema = BehaviorServer::<BehaviorHandler>::SERVICE.file_descriptor_set;
            let schema = WireMessage {
                subject: exchange::INBOX.to_owned(),
                has_reply_subject: false,
                headers: Vec::new(),
                payload: schema.into(),
            };
            let schema_subject = format!("{SERVICE}._schema");
            let _schema = fixture.reply_with(&schema_subject, vec![schema]).await;
            let _peer = fixture.reply(subject, exchange).await;
            let dynamic = bus.dynamic(SERVICE).await.unwrap().in_json();
            let reply = dynamic.call("Echo", r#"{"data": "aGk="}"#).await;
            match exchange.name.starts_with("echo") {
                true => assert_eq!(reply.unwrap().text().unwrap(), r#"{"data":"aGk="}"#),
                // The peer serves `Fail` alone.
                false => {
                    assert_eq!(reply.unwrap_err().reason(), Some(Reason::NoResponders));
                    let failed = dynamic.call("Fail", "{}").await.unwrap_err();
                    assert_eq!(failed.code(), Code::NotFound);
                    assert_eq!(failed.message(), "no account 7");
                }
            }
        }
        "event" => {
            let mut events = bus
                .subscribe::<Closed>(ClosedFilter::new())
                .open()
                .await
                .unwrap();
            fixture.publish(&exchange.messages[0]).await;
            let event = events.next().await.unwrap().unwrap();
            assert_eq!(event, Closed { number: 7 });
        }
        "start" => {
            let mut watch = bus.discovery().watch().open().await.unwrap();
            fixture.publish(&exchange.messages[0]).await;
            let joined = watch.next().await.unwrap();
            assert!(matches!(joined, Change::Joined(_)), "{joined:?}");
            check_not_addressed(wire, joined.instance());
        }
        "stop" => {
            let mut watch = bus.discovery().watch().open().await.unwrap();
            let mut start = exchange.messages[0].clone();
            let text = String::from_utf8(start.payload.to_vec()).unwrap();
            start.payload = text.replace("instance_stopping", "instance_started").into();
            fixture.publish(&start).await;
            assert!(matches!(watch.next().await, Some(Change::Joined(_))));
            fixture.publish(&exchange.messages[0]).await;
            assert!(matches!(watch.next().await, Some(Change::Left(..))));
        }
        "server stream" => {
            // No server of another version sends these frames to us. Those of the first have no mark.
            let _peer = fixture.reply(subject, exchange).await;
            let client: StreamsClient = bus.client();
            let status = client.count(CountRequest::default()).await.err().unwrap();
            assert_eq!(status.reason(), Some(Reason::NotAService), "{status}");
        }
        "large reply" => {
            let _peer = fixture.reply(subject, exchange).await;
            let status = client.fill(FillRequest::default()).await.unwrap_err();
            check_refused(wire, &status);
        }
        "opening of the next version" => {
            let _streams = fixture.reply("streams.v1.Streams.*", exchange).await;
            let _behavior = fixture.reply("behavior.v1.Behavior.*", exchange).await;
            let streams: StreamsClient = bus.client();
            check_refused_by_server(wire, streams.count(CountRequest::default()).await);
            check_refused_by_server(wire, streams.collect().open().await);
            check_refused_by_server(wire, streams.echo().open().await);
            let padding = vec![1; 2 * SMALL_PAYLOAD];
            let large = CountRequest {
                padding: padding.clone(),
                ..CountRequest::default()
            };
            check_refused_by_server(wire, streams.count(large).await);
            check_refused_by_server(wire, client.echo(Blob { data: padding }).await);
        }
        // Their callers are not of this library, or their openings are refused as the one above.
        "health"
        | "frame of an unknown stream"
        | "server stream by hand"
        | "client stream"
        | "bidirectional stream"
        | "large request"
        | "large request for a stream" => return false,
        other => panic!("state what a client makes of the recorded exchange `{other}`"),
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_understands_each_recorded_reply_or_refuses_it_by_name() {
    for wire in exchange::released() {
        let mut played = 0;
        for exchange in exchange::read(&wire) {
            // Each alone: instances of one exchange are not among those of the next.
            let max_payload = match exchange.name.as_str() {
                "opening of the next version" => SMALL_PAYLOAD,
                _ => 1024 * 1024,
            };
            let fixture = ClientFixture::start(max_payload).await;
            let playing = play(&fixture, &wire, &exchange);
            played += u32::from(within(Duration::from_secs(20), playing).await);
        }
        assert!(played >= 17, "{played} exchanges of wire {wire}");
    }
}
