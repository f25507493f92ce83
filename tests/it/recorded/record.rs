//! Records the wire of this version: runs one call of each kind, and writes the messages that NATS carried.

use std::future::IntoFuture;

use futures_util::StreamExt as _;
use micro_runtime::{Bus, Server};
use micro_testkit::NatsServer;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, FailRequest, FillRequest};
use micro_tests::market::Closed;
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};

use super::exchange;
use super::exchange::{Exchange, WireMessage};

/// Maximum length of a message of the second nats-server, so that large messages are short.
pub(super) const SMALL_PAYLOAD: usize = 4096;

/// Subject of the message that ends a step of the recorder.
const MARKER: &str = "recorder.marker";

/// Receives all messages of a nats-server.
struct WireRecorder {
    nats: async_nats::Client,
    messages: async_nats::Subscriber,
    exchanges: Vec<Exchange>,
}

impl WireRecorder {
    async fn new(server: &NatsServer) -> Self {
        let nats = async_nats::connect(server.url()).await.unwrap();
        let mut recorder = Self {
            messages: nats.subscribe(">").await.unwrap(),
            nats,
            exchanges: Vec::new(),
        };
        recorder.received().await;
        recorder
    }

    /// Returns all messages up to now: the recorder's own one follows them.
    async fn received(&mut self) -> Vec<async_nats::Message> {
        self.nats.publish(MARKER, "".into()).await.unwrap();
        let mut received = Vec::new();
        loop {
            let message = self.messages.next().await.unwrap();
            if message.subject.as_str() == MARKER {
                return received;
            }
            received.push(message);
        }
    }

    /// Runs one step, and records its messages.
    async fn step<F: IntoFuture>(&mut self, name: &str, step: F) -> F::Output {
        let output = step.into_future().await;
        let received = self.received().await;
        let requests = received.iter().filter_map(|message| message.reply.as_ref());
        let inbox = requests.map(ToString::to_string).next();
        let messages = received.iter();
        self.exchanges.push(Exchange {
            name: name.to_owned(),
            messages: messages
                .map(|message| WireMessage::new(message, inbox.as_deref()))
                .filter(|message| !message.subject.starts_with("_INBOX."))
                .collect(),
        });
        output
    }
}

/// Records calls, discovery and events.
#[expect(clippy::too_many_lines, reason = "one step per kind of message")]
async fn record_small(exchanges: &mut Vec<Exchange>) {
    let server = NatsServer::start().await.unwrap();
    let bus = Bus::connect(server.url()).await.unwrap();
    let mut recorder = WireRecorder::new(&server).await;
    let starting = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::on(&bus)));
    let running = recorder.step("start", starting.start()).await.unwrap();
    let streams = Server::new(&bus).add(StreamsServer::new(StreamsHandler::default()));
    let streams = streams.start().await.unwrap();
    recorder.received().await;
    let instance = running.instances()[0].clone();
    let client: BehaviorClient = bus.client();
    let blob = || Blob { data: b"hi".into() };
    recorder.step("echo", client.echo(blob())).await.unwrap();
    let call = client.echo(Blob::default());
    recorder.step("echo of nothing", call).await.unwrap();
    let call = client.echo(blob()).header("note", "one");
    let call = call.header("blob-bin", b"\xab\xab\xab");
    recorder.step("echo with metadata", call).await.unwrap();
    let fail = FailRequest {
        code: 5,
        text: "no account 7".into(),
    };
    let failed = recorder.step("failure of the handler", client.fail(fail));
    failed.await.unwrap_err();
    let failed = recorder.step("failure of the runtime", client.panic(blob()));
    failed.await.unwrap_err();
    let options = micro_runtime::ClientOptions::new().instance(&instance);
    let one: BehaviorClient = bus.client_with(options);
    let call = one.echo(blob());
    recorder.step("echo of one instance", call).await.unwrap();
    let all = client.echo(blob()).to_all().expected(1);
    let mut replies = recorder.step("echo of all instances", all).await.unwrap();
    replies.next().await.unwrap().result.unwrap();
    let query = bus
        .discovery()
        .ping()
        .of("behavior.v1.Behavior")
        .expected(1);
    recorder.step("ping", query).await.unwrap();
    let query = bus.discovery().get("behavior.v1.Behavior").expected(1);
    recorder.step("info", query).await.unwrap();
    let query = bus
        .discovery()
        .stats()
        .of("behavior.v1.Behavior")
        .expected(1);
    recorder.step("stats", query).await.unwrap();
    let dynamic = bus.dynamic("behavior.v1.Behavior").await.unwrap().in_json();
    recorder.received().await;
    let call = dynamic.call("Echo", r#"{"data": "aGk="}"#);
    recorder.step("echo in JSON", call).await.unwrap();
    let call = dynamic.call("Fail", r#"{"code": 5, "text": "no account 7"}"#);
    let failed = recorder.step("failure in JSON", call);
    failed.await.unwrap_err();
    let health = recorder.nats.clone();
    let health = health.request("behavior.v1.Behavior._health", "".into());
    recorder.step("health", health).await.unwrap();
    recorder
        .step("event", bus.publish(&Closed { number: 7 }))
        .await
        .unwrap();
    let client: StreamsClient = bus.client();
    recorder.step("server stream", count(&client, 0)).await;
    let step = async {
        let mut items = client.collect().open().await.unwrap();
        items
            .send(Item {
                number: 0,
                ..Item::default()
            })
            .await
            .unwrap();
        items.finish().await.unwrap();
    };
    recorder.step("client stream", step).await;
    let step = async {
        let (mut sender, mut items) = client.echo().open().await.unwrap();
        sender
            .send(Item {
                number: 0,
                ..Item::default()
            })
            .await
            .unwrap();
        sender.finish().await.unwrap();
        while items.message().await.unwrap().is_some() {}
    };
    recorder.step("bidirectional stream", step).await;
    let by_hand = recorder.nats.clone();
    let inbox = by_hand.new_inbox();
    let mut replies = by_hand.subscribe(inbox.clone()).await.unwrap();
    let step = async {
        let subject = "streams.v1.Streams.Count";
        let sent = by_hand.publish_with_reply(subject, inbox, b"\x08\x01"[..].into());
        sent.await.unwrap();
        replies.next().await.unwrap();
        replies.next().await.unwrap();
    };
    recorder.step("server stream by hand", step).await;
    let ping = recorder.exchanges.iter().find(|one| one.name == "ping");
    let wire = ping.unwrap().record()["metadata"]["micro.wire"].clone();
    let next = wire.as_str().unwrap().parse::<u32>().unwrap() + 1;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(
        "Micro-Stream",
        format!("v={next};w=4;b=65536;hb=5").as_str(),
    );
    let nats = recorder.nats.clone();
    let opening = nats.request_with_headers("streams.v1.Streams.Count", headers, "".into());
    let step = recorder.step("opening of the next version", opening);
    step.await.unwrap();
    streams.shutdown().await.unwrap();
    recorder.received().await;
    recorder.step("stop", running.shutdown()).await.unwrap();
    exchanges.append(&mut recorder.exchanges);
}

/// Records messages that do not fit into one message of NATS.
async fn record_large(exchanges: &mut Vec<Exchange>) {
    let server = NatsServer::builder().max_payload(SMALL_PAYLOAD);
    let server = server.start().await.unwrap();
    let bus = Bus::connect(server.url()).await.unwrap();
    let running = Server::new(&bus)
        .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
        .add(StreamsServer::new(StreamsHandler::default()));
    let running = running.start().await.unwrap();
    let mut recorder = WireRecorder::new(&server).await;
    let client: BehaviorClient = bus.client();
    let bytes = u32::try_from(2 * SMALL_PAYLOAD).unwrap();
    let call = client.fill(FillRequest { bytes });
    recorder.step("large reply", call).await.unwrap();
    let large = Blob {
        data: vec![b'x'; 2 * SMALL_PAYLOAD],
    };
    let call = client.echo(large);
    recorder.step("large request", call).await.unwrap();
    let client: StreamsClient = bus.client();
    let step = count(&client, 2 * SMALL_PAYLOAD);
    recorder.step("large request for a stream", step).await;
    running.shutdown().await.unwrap();
    exchanges.append(&mut recorder.exchanges);
}

/// Reads one item of a stream whose request has `padding` bytes more.
async fn count(client: &StreamsClient, padding: usize) {
    let request = CountRequest {
        messages: 1,
        padding: vec![1; padding],
        ..CountRequest::default()
    };
    let mut items = client.count(request).await.unwrap();
    while items.message().await.unwrap().is_some() {}
}

/// Returns the exchanges of this version.
pub(super) async fn record() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    record_small(&mut exchanges).await;
    record_large(&mut exchanges).await;
    exchanges
}

/// Writes the recording of the current wire; see the README of this folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "by hand: a release of a new wire runs it once"]
async fn record_this_wire() {
    let exchanges = record().await;
    let ping = exchanges.iter().find(|one| one.name == "ping").unwrap();
    let ping = ping.record();
    let wire = ping["metadata"]["micro.wire"].as_str().unwrap();
    let file = exchange::file(wire);
    std::fs::write(&file, exchange::write(wire, &exchanges)).unwrap();
}
