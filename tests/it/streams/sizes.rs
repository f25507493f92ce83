//! Messages of every size, where NATS takes 64 KiB at a time.

use std::time::{Duration, Instant};

use micro_runtime::{Bus, ClientOptions, Code, Context, Reason, Server, Status, StreamOptions};
use micro_runtime::{ReplyStream, Streaming, service};
use micro_testkit::{NatsServer, within};
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};

use super::{Scene, count, heavy};
use crate::carriers::{World, on_both_carriers};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

on_both_carriers! {
    messages_around_every_boundary
    one_large_message_through_a_small_window
    a_message_above_the_limit_is_refused
    a_large_opening_message
}

async fn narrow() -> World {
    let nats = NatsServer::builder().max_payload(64 * KIB);
    let nats = nats.start().await.unwrap();
    World {
        bus: Bus::connect(nats.url()).await.unwrap(),
        nats: Some(nats),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_server_carries_everything() {
    within(Duration::from_secs(60), async {
        let world = narrow().await;
        sixty_four_mebibytes(&world).await;
        large_unary_calls(&world).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_server_carries_every_size() {
    within(Duration::from_secs(60), async {
        messages_around_every_boundary(narrow().await).await;
        one_large_message_through_a_small_window(narrow().await).await;
        a_message_above_the_limit_is_refused(narrow().await).await;
        a_large_opening_message(narrow().await).await;
    })
    .await;
}

async fn sixty_four_mebibytes(world: &World) {
    let scene = Scene::on(&world.bus).await;
    let request = CountRequest {
        messages: 64,
        size: u32::try_from(MIB).unwrap(),
        ..CountRequest::default()
    };
    let mut items = scene.client.count(request).await.unwrap();
    for number in 0..64 {
        let item = items.message().await.unwrap().unwrap();
        assert_eq!((item.number, item.data.len()), (number, MIB));
    }
    assert!(items.message().await.unwrap().is_none());
    let mut collect = scene.client.collect().open().await.unwrap();
    for number in 0..64 {
        collect.send(heavy(number, MIB)).await.unwrap();
    }
    let summary = collect.finish().await.unwrap();
    assert_eq!(summary.bytes, 64 * MIB as u64);
    assert!(summary.is_in_order);
    let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
    let writing = async move {
        for number in 0..64 {
            sender.send(heavy(number, MIB)).await.unwrap();
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
    scene.quiet().await;
    scene.server.shutdown().await.unwrap();
}

async fn large_unary_calls(world: &World) {
    let scene = Scene::on(&world.bus).await;
    let check = async |times: u64, size: usize| {
        let request = heavy(times, size);
        let reply = scene.client.repeat(request).await.unwrap();
        let expected = size * usize::try_from(times).unwrap();
        assert_eq!(reply.data.len(), expected, "{times} times {size}");
    };
    // Around what fits, and far beyond: only the request, only the reply, both.
    for size in 65_400..65_560 {
        check(1, size).await;
    }
    check(0, 5 * MIB).await;
    check(5_000, KIB).await;
    check(1, 15 * MIB).await;
    // Above what its receiver takes.
    let above_at_the_client = scene.client.repeat(heavy(17 * KIB as u64, KIB)).await;
    let status = above_at_the_client.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    let above_at_the_server = scene.client.repeat(heavy(0, 17 * MIB)).await;
    let status = above_at_the_server.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    // A client that takes more gets more.
    let patient = StreamOptions::new().reassembly_limit(20 * MIB);
    let patient = ClientOptions::new().stream_options(patient);
    let patient: StreamsClient = world.bus.client_with(patient);
    let reply = patient.repeat(heavy(17 * KIB as u64, KIB)).await.unwrap();
    assert_eq!(reply.data.len(), 17 * MIB);
    scene.quiet().await;
}

async fn messages_around_every_boundary(world: World) {
    let scene = Scene::on(&world.bus).await;
    let sizes = [32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB].map(|around| {
        let offsets = [
            -300_i64, -270, -257, -256, -20, -10, -5, -3, -2, -1, 0, 1, 10,
        ];
        offsets.map(|offset| usize::try_from(i64::try_from(around).unwrap() + offset).unwrap())
    });
    let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
    let sizes = sizes.concat();
    let expected = sizes.clone();
    let writing = async move {
        for (number, size) in sizes.into_iter().enumerate() {
            // A small one before it, so that it is not alone in its frame.
            sender.send(heavy(number as u64, number)).await.unwrap();
            sender.send(heavy(number as u64, size)).await.unwrap();
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
    scene.quiet().await;
}

async fn one_large_message_through_a_small_window(world: World) {
    // The key and the length of the field, and the number, come on top.
    let size = 16 * MIB - 16;
    let small = StreamOptions::new().window_bytes(64 * 1024);
    let scene = Scene::with(&world.bus, |server| server.stream_options(small)).await;
    let request = CountRequest {
        size: u32::try_from(size).unwrap(),
        ..count(1, "")
    };
    let call = scene.client.count(request).stream_options(small);
    let mut items = call.await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().data.len(), size);
    assert!(items.message().await.unwrap().is_none());
    let mut collect = scene.client.collect().open().await.unwrap();
    collect.send(heavy(0, size)).await.unwrap();
    assert_eq!(collect.finish().await.unwrap().bytes, size as u64);
    let echo = scene.client.echo().stream_options(small);
    let (mut sender, mut items) = echo.open().await.unwrap();
    sender.send(heavy(0, size)).await.unwrap();
    sender.finish().await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().data.len(), size);
    assert!(items.message().await.unwrap().is_none());
    scene.quiet().await;
}

async fn a_message_above_the_limit_is_refused(world: World) {
    let limit = StreamOptions::new().reassembly_limit(MIB);
    let scene = Scene::with(&world.bus, |server| server.stream_options(limit)).await;
    let mut collect = scene.client.collect().open().await.unwrap();
    collect.send(heavy(0, MIB + 1)).await.unwrap();
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
    let call = scene.client.count(request).stream_options(limit);
    let status = call.await.unwrap().message().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::TooLarge));
    scene.quiet().await;
}

async fn a_large_opening_message(world: World) {
    let scene = Scene::on(&world.bus).await;
    let request = CountRequest {
        padding: vec![1; 5 * MIB],
        ..count(3, "")
    };
    let mut items = scene.client.count(request).await.unwrap();
    super::statuses::complete(&mut items, 3).await;
    let request = CountRequest {
        padding: vec![1; 5 * MIB],
        ..count(3, "refuse")
    };
    let status = scene.client.count(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    scene.quiet().await;
}

/// Blocks its thread for a while.
struct Blocking;

#[service]
impl Streams for Blocking {
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
        // sleep: a handler that blocks its thread.
        std::thread::sleep(Duration::from_millis(500));
        Ok(request)
    }
}

#[tokio::test]
async fn a_large_request_to_a_blocking_method_blocks_nobody() {
    let bus = Bus::in_process();
    let server = Server::new(&bus).add(StreamsServer::new(Blocking));
    let _server = server.start().await.unwrap();
    let client: StreamsClient = bus.client();
    let call = tokio::spawn(async move { client.repeat(heavy(1, 3 * MIB)).await });
    let mut longest = Duration::ZERO;
    while !call.is_finished() {
        let started = Instant::now();
        // sleep: this thread is to be free all the time.
        tokio::time::sleep(Duration::from_millis(5)).await;
        longest = longest.max(started.elapsed());
    }
    assert_eq!(call.await.unwrap().unwrap().data.len(), 3 * MIB);
    assert!(longest < Duration::from_millis(400), "{longest:?}");
}

/// A server that says how much it takes of one message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smallest_server_carries_streams() {
    within(Duration::from_secs(30), async {
        let nats = NatsServer::builder().max_payload(4 * KIB);
        let nats = nats.start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let scene = Scene::with(&bus, |server: Server| server).await;
        let mut collect = scene.client.collect().open().await.unwrap();
        for number in 0..10 {
            collect.send(heavy(number, 20_000)).await.unwrap();
        }
        assert_eq!(collect.finish().await.unwrap().bytes, 200_000);
        let reply = scene.client.repeat(heavy(3, 10_000)).await.unwrap();
        assert_eq!(reply.data.len(), 30_000);
    })
    .await;
}
