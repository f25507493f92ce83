//! Messages around and above the maximum payload of the nats-server, and the limits of both ends.

use std::time::Duration;

use micro_runtime::{Bus, ClientOptions, Code, Context, Reason, Server, Status, StreamOptions};
use micro_runtime::{ReplyStream, Streaming, service};
use micro_testkit::{NatsServer, within};
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use tokio::time::Instant;

use super::fixture::StreamsFixture;
use super::items::{count, expect_items, sized_item};
use crate::carriers::{Carrier, on_both_carriers_and_paused};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

on_both_carriers_and_paused! {
    messages_around_every_boundary
    one_large_message_through_a_small_window
    a_message_above_the_limit_is_rejected
    a_large_opening_message
}

/// Starts a nats-server with a maximum payload of 64 KiB.
async fn start_with_small_payload() -> Carrier {
    let nats = NatsServer::builder().max_payload(64 * KIB);
    let nats = nats.start().await.unwrap();
    Carrier {
        bus: Bus::connect(nats.url()).await.unwrap(),
        nats: Some(nats),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_max_payload_of_64_kib_carries_large_messages() {
    within(Duration::from_secs(60), async {
        let carrier = start_with_small_payload().await;
        check_64_mib_each_way(&carrier).await;
        check_large_unary_calls(&carrier).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_max_payload_of_64_kib_carries_every_size() {
    within(Duration::from_secs(60), async {
        messages_around_every_boundary(start_with_small_payload().await).await;
        one_large_message_through_a_small_window(start_with_small_payload().await).await;
        a_message_above_the_limit_is_rejected(start_with_small_payload().await).await;
        a_large_opening_message(start_with_small_payload().await).await;
    })
    .await;
}

/// Replies that fit into one message of usual servers, and not into one of these. Their headers may take as much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_max_payload_of_1_and_2_kib_carries_every_reply() {
    within(Duration::from_secs(60), async {
        for max in [KIB, 2 * KIB] {
            let nats = NatsServer::builder()
                .max_payload(max)
                .start()
                .await
                .unwrap();
            let bus = Bus::connect(nats.url()).await.unwrap();
            let fixture = StreamsFixture::start(&bus).await;
            for length in [
                10, 50, 90, 100, 102, 103, 150, 200, 205, 300, 409, 410, 600, 2000,
            ] {
                let call = fixture.client.repeat(sized_item(10, length));
                let reply = call.await.unwrap();
                assert_eq!(reply.data.len(), 10 * length, "{max}");
            }
        }
    })
    .await;
}

async fn check_64_mib_each_way(carrier: &Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let request = CountRequest {
        messages: 64,
        size: u32::try_from(MIB).unwrap(),
        ..CountRequest::default()
    };
    let mut items = fixture.client.count(request).await.unwrap();
    for number in 0..64 {
        let item = items.message().await.unwrap().unwrap();
        assert_eq!((item.number, item.data.len()), (number, MIB));
    }
    assert!(items.message().await.unwrap().is_none());
    let mut collect = fixture.client.collect().open().await.unwrap();
    for number in 0..64 {
        collect.send(sized_item(number, MIB)).await.unwrap();
    }
    let summary = collect.finish().await.unwrap();
    assert_eq!(summary.bytes, 64 * MIB as u64);
    assert!(summary.is_in_order);
    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
    let writing = async move {
        for number in 0..64 {
            sender.send(sized_item(number, MIB)).await.unwrap();
        }
        sender.finish().await.unwrap();
    };
    let reading = async {
        for number in 0..64 {
            let item = items.message().await.unwrap().unwrap();
            assert_eq!((item.number, item.data.len()), (number, MIB));
        }
        assert!(items.message().await.unwrap().is_none());
    };
    tokio::join!(writing, reading);
    fixture.wait_until_idle().await;
    fixture.server.shutdown().await.unwrap();
}

async fn check_large_unary_calls(carrier: &Carrier) {
    let limit = StreamOptions::new().max_message_bytes(16 * MIB);
    let mut fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(limit)).await;
    fixture.client = carrier
        .bus
        .client_with(ClientOptions::new().stream_options(limit));
    let check = async |times: u64, size: usize| {
        let request = sized_item(times, size);
        let reply = fixture.client.repeat(request).await.unwrap();
        let expected = size * usize::try_from(times).unwrap();
        assert_eq!(reply.data.len(), expected, "{times} times {size}");
    };
    // Around the maximum payload and far above it: in the request, in the reply, and in both.
    for size in 65_400..65_560 {
        check(1, size).await;
    }
    check(0, 5 * MIB).await;
    check(5_000, KIB).await;
    check(1, 15 * MIB).await;
    // Above the receiver's limit.
    let above_client_limit = fixture
        .client
        .repeat(sized_item(17 * KIB as u64, KIB))
        .await;
    let status = above_client_limit.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    let above_server_limit = fixture.client.repeat(sized_item(0, 17 * MIB)).await;
    let status = above_server_limit.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    // A client with a higher limit gets the reply.
    let options = StreamOptions::new().max_message_bytes(20 * MIB);
    let options = ClientOptions::new().stream_options(options);
    let client: StreamsClient = carrier.bus.client_with(options);
    let reply = client
        .repeat(sized_item(17 * KIB as u64, KIB))
        .await
        .unwrap();
    assert_eq!(reply.data.len(), 17 * MIB);
    fixture.wait_until_idle().await;
}

async fn messages_around_every_boundary(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let sizes = [32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB].map(|around| {
        let offsets = [
            -300_i64, -270, -257, -256, -20, -10, -5, -3, -2, -1, 0, 1, 10,
        ];
        offsets.map(|offset| usize::try_from(i64::try_from(around).unwrap() + offset).unwrap())
    });
    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
    let sizes = sizes.concat();
    let expected = sizes.clone();
    let writing = async move {
        for (number, size) in sizes.into_iter().enumerate() {
            // A small item first, so that the large one does not start its frame.
            sender
                .send(sized_item(number as u64, number))
                .await
                .unwrap();
            sender.send(sized_item(number as u64, size)).await.unwrap();
        }
        sender.finish().await.unwrap();
    };
    let reading = async {
        for (number, size) in expected.into_iter().enumerate() {
            let item = items.message().await.unwrap().unwrap();
            assert_eq!((item.number, item.data.len()), (number as u64, number));
            let item = items.message().await.unwrap().unwrap();
            assert_eq!((item.number, item.data.len()), (number as u64, size));
        }
        assert!(items.message().await.unwrap().is_none());
    };
    tokio::join!(writing, reading);
    fixture.wait_until_idle().await;
}

async fn one_large_message_through_a_small_window(carrier: Carrier) {
    // The encoded message is at the limit: the field's key and length need the rest.
    let size = 16 * MIB - 16;
    let small = StreamOptions::new()
        .window_bytes(64 * 1024)
        .max_message_bytes(16 * MIB);
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(small)).await;
    let request = CountRequest {
        size: u32::try_from(size).unwrap(),
        ..count(1, "")
    };
    let call = fixture.client.count(request).stream_options(small);
    let mut items = call.await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().data.len(), size);
    assert!(items.message().await.unwrap().is_none());
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(sized_item(0, size)).await.unwrap();
    assert_eq!(collect.finish().await.unwrap().bytes, size as u64);
    let echo = fixture.client.echo().stream_options(small);
    let (mut sender, mut items) = echo.open().await.unwrap();
    sender.send(sized_item(0, size)).await.unwrap();
    sender.finish().await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().data.len(), size);
    assert!(items.message().await.unwrap().is_none());
    fixture.wait_until_idle().await;
}

async fn a_message_above_the_limit_is_rejected(carrier: Carrier) {
    let limit = StreamOptions::new().max_message_bytes(MIB);
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(limit)).await;
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(sized_item(0, MIB + 1)).await.unwrap();
    let status = collect.finish().await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::ResourceExhausted,
        "{status} {:?}",
        status.reason()
    );
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    let request = CountRequest {
        size: u32::try_from(MIB).unwrap(),
        ..count(2, "")
    };
    let call = fixture.client.count(request).stream_options(limit);
    let status = call.await.unwrap().message().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    fixture.wait_until_idle().await;
}

async fn a_large_opening_message(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let request = CountRequest {
        padding: vec![1; 3 * MIB],
        ..count(3, "")
    };
    let mut items = fixture.client.count(request).await.unwrap();
    expect_items(&mut items, 3).await;
    let request = CountRequest {
        padding: vec![1; 3 * MIB],
        ..count(3, "refuse")
    };
    let status = fixture.client.count(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    fixture.wait_until_idle().await;
}

/// Handler whose `Repeat` blocks its thread for 500 ms.
struct BlockingHandler;

#[service]
impl Streams for BlockingHandler {
    async fn count(&self, _: Context, _: CountRequest) -> Result<impl ReplyStream<Item>, Status> {
        Ok(Streaming::from_iter([]))
    }

    async fn collect(&self, _: Context, _: Streaming<Item>) -> Result<Summary, Status> {
        Ok(Summary::default())
    }

    async fn echo(
        &self,
        _: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        Ok(items)
    }

    #[rpc(blocking)]
    async fn repeat(&self, _: Context, request: Item) -> Result<Item, Status> {
        // sleep: the handler blocks its thread.
        std::thread::sleep(Duration::from_millis(500));
        Ok(request)
    }
}

#[tokio::test]
async fn a_large_request_to_a_blocking_method_leaves_the_runtime_thread_free() {
    let bus = Bus::in_process();
    let server = Server::new(&bus).add(StreamsServer::new(BlockingHandler));
    let _server = server.start().await.unwrap();
    let client: StreamsClient = bus.client();
    let call = tokio::spawn(async move { client.repeat(sized_item(1, 3 * MIB)).await });
    let mut longest = Duration::ZERO;
    while !call.is_finished() {
        let started = Instant::now();
        // sleep: returns late if the handler blocks this thread.
        tokio::time::sleep(Duration::from_millis(5)).await;
        longest = longest.max(started.elapsed());
    }
    assert_eq!(call.await.unwrap().unwrap().data.len(), 3 * MIB);
    assert!(longest < Duration::from_millis(400), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_max_payload_of_4_kib_carries_streams() {
    within(Duration::from_secs(30), async {
        let nats = NatsServer::builder().max_payload(4 * KIB);
        let nats = nats.start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let fixture = StreamsFixture::start_with(&bus, |server: Server| server).await;
        let mut collect = fixture.client.collect().open().await.unwrap();
        for number in 0..10 {
            collect.send(sized_item(number, 20_000)).await.unwrap();
        }
        assert_eq!(collect.finish().await.unwrap().bytes, 200_000);
        let reply = fixture.client.repeat(sized_item(3, 10_000)).await.unwrap();
        assert_eq!(reply.data.len(), 30_000);
    })
    .await;
}
