//! Time: deadlines that are set and inherited, calls that streams are a part of, silence.

use std::time::{Duration, Instant};

use micro_runtime::{Bus, Code, Context, Metadata, Reason, Server, Status, StreamOptions};
use micro_runtime::{ReplyStream, Streaming, service};
use micro_testkit::within;
use micro_tests::streams::{CountRequest, Item, Streams, StreamsClient, StreamsServer, Summary};
use tokio::sync::mpsc;

use super::statuses::read;
use super::{Scene, count, item, plan};
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    a_deadline_ends_both_ends
    a_stream_has_no_deadline_unless_somebody_says_so
    a_deadline_is_inherited
    a_stream_ends_with_the_call_that_it_is_a_part_of
    a_server_caps_the_time_of_a_stream
    a_healthy_stream_that_is_idle_lives_on
}

fn check_late(status: &Status, started: Instant) {
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(status.reason(), Some(Reason::Deadline));
    assert!(started.elapsed() < Duration::from_secs(2));
}

const SOON: Duration = Duration::from_millis(150);

async fn a_deadline_ends_both_ends(world: World) {
    let scene = Scene::on(&world.bus).await;
    let started = Instant::now();
    let never = scene.client.count(count(1, "never")).timeout(SOON);
    check_late(&never.await.unwrap_err(), started);
    scene.quiet().await;

    let started = Instant::now();
    let mut items = scene
        .client
        .count(count(3, "wait"))
        .timeout(SOON)
        .await
        .unwrap();
    let left = items
        .metadata()
        .get("left-ms")
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!(left <= 150, "the handler knows: {left}");
    let (messages, failure) = read(&mut items).await;
    assert_eq!(messages, 3);
    check_late(&failure.unwrap(), started);
    scene.quiet().await;

    let started = Instant::now();
    let mut collect = scene.client.collect().timeout(SOON).open().await.unwrap();
    collect.send(plan("wait")).await.unwrap();
    check_late(&collect.finish().await.unwrap_err(), started);
    scene.quiet().await;

    // A busy stream is not spared.
    let started = Instant::now();
    let (mut sender, mut items) = scene.client.echo().timeout(SOON).open().await.unwrap();
    let writes = async move {
        loop {
            if let Err(status) = sender.send(item(0)).await {
                return status;
            }
        }
    };
    let reads = async {
        loop {
            if let Err(status) = items.message().await {
                return status;
            }
        }
    };
    let (write, read) = tokio::join!(writes, reads);
    check_late(&write, started);
    check_late(&read, started);
    scene.quiet().await;
    let too_late = scene.client.echo().timeout(Duration::ZERO).open().await;
    assert_eq!(too_late.unwrap_err().code(), Code::DeadlineExceeded);
}

async fn a_stream_has_no_deadline_unless_somebody_says_so(world: World) {
    let set = |server: Server| server.default_timeout(Duration::from_millis(100));
    let scene = Scene::with(&world.bus, set).await;
    let request = CountRequest {
        pause_us: 100_000,
        ..count(3, "")
    };
    let mut items = scene.client.count(request).await.unwrap();
    assert_eq!(items.metadata().get("left-ms"), None);
    let (messages, failure) = read(&mut items).await;
    assert_eq!((messages, failure.is_none()), (3, true));
}

async fn a_deadline_is_inherited(world: World) {
    let scene = Scene::on(&world.bus).await;
    let parent = Context::for_test_with(Metadata::new(), Some(SOON));
    let started = Instant::now();
    let mut items = scene
        .client
        .count(count(3, "wait"))
        .timeout(Duration::from_secs(60))
        .within(&parent)
        .await
        .unwrap();
    let (_, failure) = read(&mut items).await;
    check_late(&failure.unwrap(), started);
    // Nothing is left of the parent's time.
    let late = scene.client.echo().within(&parent).open().await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    scene.quiet().await;
}

/// Makes streams as a part of its own call, and leaves them to others.
#[derive(Clone)]
struct Nesting {
    client: StreamsClient,
    nested: mpsc::UnboundedSender<Streaming<Item>>,
}

#[service]
impl Streams for Nesting {
    async fn count(
        &self,
        ctx: Context,
        request: CountRequest,
    ) -> Result<impl ReplyStream<Item>, Status> {
        let items = self.client.count(request).within(&ctx).await?;
        let _ = self.nested.send(items);
        Ok(futures_util::stream::pending())
    }

    async fn collect(&self, _: Context, _: Streaming<Item>) -> Result<Summary, Status> {
        Err(Status::unimplemented("not this one"))
    }

    async fn echo(
        &self,
        _: Context,
        items: Streaming<Item>,
    ) -> Result<impl ReplyStream<Item>, Status> {
        Ok(items)
    }

    async fn repeat(&self, ctx: Context, request: Item) -> Result<Item, Status> {
        let items = self.client.count(count(1, "wait")).within(&ctx).await?;
        let _ = self.nested.send(items);
        Ok(request)
    }
}

async fn nesting(
    bus: &Bus,
    client: &StreamsClient,
) -> (StreamsClient, mpsc::UnboundedReceiver<Streaming<Item>>) {
    let (nested, streams) = mpsc::unbounded_channel();
    let handler = Nesting {
        client: client.clone(),
        nested,
    };
    let outer = bus.clone().with_prefix("outer").unwrap();
    let server = Server::new(&outer).add(StreamsServer::new(handler));
    // Kept until the test's runtime ends.
    std::mem::forget(server.start().await.unwrap());
    (outer.client(), streams)
}

async fn a_stream_ends_with_the_call_that_it_is_a_part_of(world: World) {
    let scene = Scene::on(&world.bus).await;
    let (outer, mut nested) = nesting(&world.bus, &scene.client).await;
    // A unary parent that has answered.
    outer.repeat(item(1)).await.unwrap();
    let mut items = nested.recv().await.unwrap();
    let (_, failure) = within(Duration::from_secs(5), read(&mut items)).await;
    let failure = failure.unwrap();
    assert_eq!(failure.reason(), Some(Reason::ParentEnded), "{failure}");
    // A streaming parent whose caller goes away.
    let parent = outer.count(count(3, "wait")).await.unwrap();
    let mut items = nested.recv().await.unwrap();
    drop(parent);
    let (_, failure) = within(Duration::from_secs(5), read(&mut items)).await;
    assert_eq!(failure.unwrap().reason(), Some(Reason::ParentEnded));
    within(Duration::from_secs(5), scene.handler.wait_until_idle()).await;
}

async fn a_server_caps_the_time_of_a_stream(world: World) {
    let set = |server: Server| {
        server
            .max_timeout(SOON)
            .min_timeout(Duration::from_millis(20))
    };
    let scene = Scene::with(&world.bus, set).await;
    let started = Instant::now();
    let call = scene.client.count(count(3, "wait"));
    let mut items = call.timeout(Duration::from_secs(60)).await.unwrap();
    let (messages, failure) = read(&mut items).await;
    assert_eq!(messages, 3);
    check_late(&failure.unwrap(), started);
    let call = scene.client.collect().timeout(Duration::from_millis(10));
    let status = call.open().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    scene.quiet().await;
}

async fn a_healthy_stream_that_is_idle_lives_on(world: World) {
    // The caller is told of a silence sooner than it would ask by default.
    let options = StreamOptions::new().idle_timeout(Duration::from_millis(600));
    let scene = Scene::with(&world.bus, |server| server.stream_options(options)).await;
    let call = scene.client.count(count(1, "wait")).stream_options(options);
    let mut items = call.await.unwrap();
    items.message().await.unwrap().unwrap();
    let (mut sender, mut echoes) = scene
        .client
        .echo()
        .stream_options(options)
        .open()
        .await
        .unwrap();
    // sleep: longer than both ends may be silent.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    sender.send(item(7)).await.unwrap();
    assert_eq!(echoes.message().await.unwrap().unwrap().number, 7);
    sender.finish().await.unwrap();
    assert!(echoes.message().await.unwrap().is_none());
    drop(items);
    scene.quiet().await;
}
