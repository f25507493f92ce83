//! Messages that are too long: the failure names the message, its length, the limit, and the option that raises it.
//! A message that is known to be too long is not sent.

use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::{
    Bus, ClientOptions, Code, Reason, RunningServer, Server, ServiceOptions, Status, StreamOptions,
};
use micro_tests::behavior::{BehaviorServer, Blob, FillRequest};
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};

use crate::behavior::requests::blob;
use crate::carriers::{Carrier, on_both_carriers};
use crate::layered::clients;
use crate::round_trip::round_trip;

on_both_carriers! {
    a_request_above_the_servers_limit_is_not_sent
    a_reply_above_the_clients_limit_is_not_sent
    a_request_for_a_stream_above_the_servers_limit_is_not_sent
    messages_of_streams_above_a_limit_name_it
    whole_messages_above_a_limit_fail
    what_nats_does_not_carry_names_max_payload
    metadata_above_its_limit_names_length_and_limit
}

const MIB: usize = 1 << 20;

#[track_caller]
fn check(status: &Status, reason: Reason, parts: &[&str]) {
    assert_eq!(status.reason(), Some(reason), "{status}");
    for part in parts {
        assert!(status.message().contains(part), "`{part}` in {status}");
    }
    let text = status.message();
    assert!(!text.contains("the stream"), "a method is named: {text}");
}

fn data(length: usize) -> Blob {
    Blob {
        data: vec![b'x'; length],
    }
}

fn limit(bytes: usize) -> StreamOptions {
    StreamOptions::new().max_message_bytes(bytes)
}

/// Starts the service with this limit for messages in parts.
async fn serve_with_limit(carrier: &Carrier, bytes: usize) -> RunningServer {
    let service = BehaviorServer::new(BehaviorHandler::on(&carrier.bus));
    let options = ServiceOptions::new().stream_options(limit(bytes));
    let server = Server::new(&carrier.bus).add_with(service, options);
    server.start().await.unwrap()
}

/// The frames that callers send to services over NATS.
struct SentFrames {
    _client: async_nats::Client,
    frames: async_nats::Subscriber,
}

/// Subject among those of frames: everything that its sender has sent before has arrived once a message to it has.
const MARKER: &str = "marker.v1.Marker._i.a._up.b";

impl SentFrames {
    /// Subscribes; `None` inside one process.
    async fn observe(carrier: &Carrier) -> Option<Self> {
        let nats = carrier.nats.as_ref()?;
        let client = async_nats::connect(nats.url()).await.unwrap();
        let frames = client.subscribe("*.v1.*._i.*._up.>").await.unwrap();
        round_trip(&client).await;
        Some(Self {
            _client: client,
            frames,
        })
    }

    /// Returns the number of frames, without RESET, that a caller has sent.
    async fn count(&mut self, caller: &Bus) -> usize {
        let nats = caller.nats().unwrap();
        nats.publish(MARKER, "".into()).await.unwrap();
        let mut count = 0;
        loop {
            let frame = self.frames.next().await.unwrap();
            if frame.subject.as_str() == MARKER {
                return count;
            }
            count += usize::from(!frame.payload.starts_with(b"\x07\x18\x04"));
        }
    }
}

async fn a_request_above_the_servers_limit_is_not_sent(carrier: Carrier) {
    for (max, handler) in [
        (4 * MIB, "by default"),
        (3 * MIB, "lower"),
        (20 * MIB, "higher"),
    ] {
        let server = match handler {
            "by default" => carrier.serve().await.server,
            _ => serve_with_limit(&carrier, max).await,
        };
        let frames = SentFrames::observe(&carrier).await;
        let caller = carrier.another_bus().await;
        for client in clients(&caller, &ClientOptions::new()) {
            let status = client.echo(data(max)).await.unwrap_err();
            // The length is that of the encoded message.
            let found = format!(
                "the request to behavior.v1.Behavior.Echo takes {} bytes, above the limit of its server, {max} bytes",
                max + 5
            );
            let option = "raise `StreamOptions::max_message_bytes` in `ServiceOptions::stream_options` or `Server::stream_options`";
            check(&status, Reason::TooLarge, &[&found, option]);
            assert_eq!(status.code(), Code::ResourceExhausted);
            let echoed = client.echo(blob(b"goes on")).await.unwrap();
            assert_eq!(echoed, blob(b"goes on"));
        }
        if let Some(mut frames) = frames {
            assert_eq!(frames.count(&caller).await, 0, "{handler}");
        }
        server.shutdown().await.unwrap();
    }
}

async fn a_reply_above_the_clients_limit_is_not_sent(carrier: Carrier) {
    let _fixture = carrier.serve().await;
    for (max, options) in [
        (4 * MIB, ClientOptions::new()),
        (3 * MIB, ClientOptions::new().stream_options(limit(3 * MIB))),
        (
            20 * MIB,
            ClientOptions::new().stream_options(limit(20 * MIB)),
        ),
    ] {
        let caller = carrier.another_bus().await;
        let frames = SentFrames::observe(&carrier).await;
        for client in clients(&caller, &options) {
            let bytes = u32::try_from(max).unwrap();
            let status = client.fill(FillRequest { bytes }).await.unwrap_err();
            let found = format!(
                "the reply of behavior.v1.Behavior.Fill takes {} bytes, above the limit of its client, {max} bytes",
                max + 5
            );
            let option =
                "raise `StreamOptions::max_message_bytes` in `ClientOptions::stream_options`";
            check(&status, Reason::TooLarge, &[&found, option]);
        }
        if let Some(mut frames) = frames {
            assert_eq!(frames.count(&caller).await, 0, "no grant is sent");
        }
    }
}

async fn a_request_for_a_stream_above_the_servers_limit_is_not_sent(carrier: Carrier) {
    let service = StreamsServer::new(StreamsHandler::default());
    let options = ServiceOptions::new().stream_options(limit(2 * MIB));
    let server = Server::new(&carrier.bus).add_with(service, options);
    let _server = server.start().await.unwrap();
    let frames = SentFrames::observe(&carrier).await;
    let caller = carrier.another_bus().await;
    let client: StreamsClient = caller.client();
    let large = CountRequest {
        padding: vec![b'x'; 2 * MIB],
        ..CountRequest::default()
    };
    let status = client.count(large).await.err().unwrap();
    let parts = [
        "the request to streams.v1.Streams.Count takes 2097157 bytes, above the limit of its server, 2097152 bytes",
        "`ServiceOptions::stream_options` or `Server::stream_options`",
    ];
    check(&status, Reason::TooLarge, &parts);
    if let Some(mut frames) = frames {
        assert_eq!(frames.count(&caller).await, 0);
    }
}

/// The length of a message of a stream is not announced: its receiver ends the stream once it has received too much.
async fn messages_of_streams_above_a_limit_name_it(carrier: Carrier) {
    let options = ServiceOptions::new().stream_options(limit(300_000));
    let service = StreamsServer::new(StreamsHandler::default());
    let server = Server::new(&carrier.bus).add_with(service, options);
    let _server = server.start().await.unwrap();
    let client: StreamsClient = carrier.another_bus().await.client();
    let large = || Item {
        data: vec![b'x'; 500_000],
        ..Item::default()
    };

    let (mut sender, mut replies) = client.echo().open().await.unwrap();
    sender.send(large()).await.unwrap();
    let status = replies.message().await.unwrap_err();
    let of_server = [
        "a request to streams.v1.Streams.Echo takes more than 300000 bytes, the limit of its server",
        "`ServiceOptions::stream_options` or `Server::stream_options`",
    ];
    check(&status, Reason::TooLarge, &of_server);
    // Each further read and write fails so, too.
    check(
        &replies.message().await.unwrap_err(),
        Reason::TooLarge,
        &of_server,
    );
    check(
        &sender.send(large()).await.unwrap_err(),
        Reason::TooLarge,
        &of_server,
    );

    let counting = client.count(CountRequest {
        messages: 1,
        size: 290_000,
        ..CountRequest::default()
    });
    let mut items = counting.stream_options(limit(200_000)).await.unwrap();
    let status = items.message().await.unwrap_err();
    let of_client = [
        "a reply of streams.v1.Streams.Count takes more than 200000 bytes, the limit of its client",
        "`ClientOptions::stream_options`",
    ];
    check(&status, Reason::TooLarge, &of_client);
    check(
        &items.message().await.unwrap_err(),
        Reason::TooLarge,
        &of_client,
    );

    let mut sum = client.collect().open().await.unwrap();
    sum.send(large()).await.unwrap();
    let status = sum.finish().await.unwrap_err();
    let parts = [
        "a request to streams.v1.Streams.Collect takes more than 300000 bytes, the limit of its server",
    ];
    check(&status, Reason::TooLarge, &parts);
}

/// Messages that fit into one NATS message, or into one frame.
async fn whole_messages_above_a_limit_fail(carrier: Carrier) {
    let _server = serve_with_limit(&carrier, 1_000).await;
    let small = ClientOptions::new().stream_options(limit(1_000));
    for client in clients(&carrier.another_bus().await, &small) {
        let echoed = client.echo(data(900)).await.unwrap();
        assert_eq!(echoed, data(900));
        let status = client.echo(data(1_000)).await.unwrap_err();
        let found = [
            "the request to behavior.v1.Behavior.Echo takes 1003 bytes, above the limit of its server, 1000 bytes",
            "`ServiceOptions::stream_options` or `Server::stream_options`",
        ];
        check(&status, Reason::TooLarge, &found);
        let status = client.fill(FillRequest { bytes: 1_000 }).await;
        let found = [
            "the reply of behavior.v1.Behavior.Fill takes 1003 bytes, above the limit of its client, 1000 bytes",
            "`ClientOptions::stream_options`",
        ];
        check(&status.unwrap_err(), Reason::TooLarge, &found);
        let mut replies = client
            .fill(FillRequest { bytes: 1_000 })
            .to_all()
            .await
            .unwrap();
        let status = replies.next().await.unwrap().result.unwrap_err();
        check(&status, Reason::TooLarge, &found);
    }

    let options = ServiceOptions::new().stream_options(limit(1_000));
    let service = StreamsServer::new(StreamsHandler::default());
    let server = Server::new(&carrier.bus).add_with(service, options);
    let _server = server.start().await.unwrap();
    let client: StreamsClient = carrier.another_bus().await.client();
    let item = |length| Item {
        data: vec![b'x'; length],
        ..Item::default()
    };
    // Three messages that are below it are sent in one frame that is longer.
    let mut sum = client.collect().open().await.unwrap();
    for _ in 0..3 {
        sum.send(item(900)).await.unwrap();
    }
    assert_eq!(sum.finish().await.unwrap().bytes, 2_700);
    let mut sum = client.collect().open().await.unwrap();
    sum.send(item(1_000)).await.unwrap();
    let status = sum.finish().await.unwrap_err();
    let found = "a request to streams.v1.Streams.Collect takes more than 1000 bytes, the limit of its server";
    check(&status, Reason::TooLarge, &[found]);
}

/// Events and calls of all instances travel in one NATS message.
async fn what_nats_does_not_carry_names_max_payload(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let parts = [
        "does not fit into one NATS message of 1048576 bytes",
        "`max_payload` of the nats-server",
    ];
    let status = fixture.client.echo(data(2 * MIB)).to_all().await;
    let status = status.err().unwrap();
    check(&status, Reason::TooLarge, &parts);
    let request = "the request to behavior.v1.Behavior.Echo, 2097157 bytes,";
    check(&status, Reason::TooLarge, &[request]);
    let raw = carrier
        .bus
        .publish_raw("evt.large", Bytes::from(vec![b'x'; 2 * MIB]));
    check(&raw.await.unwrap_err(), Reason::TooLarge, &parts);
}

async fn metadata_above_its_limit_names_length_and_limit(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let long = "x".repeat(9_000);
    let parts = [
        "header `long` takes the metadata to 9004 bytes",
        "limit of 8192",
    ];
    for client in clients(&carrier.bus, &ClientOptions::new()) {
        let status = client.echo(blob(b"")).header("long", &long).await;
        check(&status.unwrap_err(), Reason::BadHeader, &parts);
    }
    let status = fixture
        .client
        .echo(blob(b""))
        .header("long", &long)
        .to_all();
    check(&status.await.err().unwrap(), Reason::BadHeader, &parts);
    let status = carrier
        .bus
        .publish_raw("evt.x", "")
        .header("long", &long)
        .await;
    check(&status.unwrap_err(), Reason::BadHeader, &parts);
}
