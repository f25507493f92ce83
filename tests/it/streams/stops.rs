//! A nats-server that restarts, and a server that drains.

use std::time::Duration;

use micro_runtime::{ClientOptions, Code, Reason, StreamOptions};
use micro_testkit::within;
use micro_tests::streams::{CountRequest, StreamsClient};

use super::statuses::{complete, read};
use super::{Scene, count, item};
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    a_drain_lets_streams_finish_and_ends_the_rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_nats_server_ends_streams_and_new_ones_work() {
    within(Duration::from_secs(40), async {
        let mut world = World::nats().await;
        let scene = Scene::on(&world.bus).await;
        let callers = world.another_bus().await;
        let client: StreamsClient = callers.client();
        let mut items = client.count(count(1, "wait")).await.unwrap();
        items.message().await.unwrap().unwrap();
        let mut collect = client.collect().open().await.unwrap();
        collect.send(item(0)).await.unwrap();
        let (mut sender, mut echoes) = client.echo().open().await.unwrap();
        sender.send(item(0)).await.unwrap();
        echoes.message().await.unwrap().unwrap();
        super::until(|| scene.handler.items_taken() == 2).await;
        let nats = world.nats.as_mut().unwrap();
        nats.kill().unwrap();
        let ended = async {
            let reading = items.message().await.unwrap_err();
            let echoing = echoes.message().await.unwrap_err();
            sender.closed().await;
            let sending = sender.send(item(1)).await.unwrap_err();
            collect.closed().await;
            let collecting = collect.finish().await.unwrap_err();
            for status in [reading, echoing, sending, collecting] {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
            }
            // The other end too, although nobody could tell it.
            scene.handler.wait_until_idle().await;
        };
        within(Duration::from_secs(3), ended).await;
        nats.restart().await.unwrap();
        let opens = async {
            loop {
                match client.count(count(100, "")).await {
                    Ok(mut items) => return complete(&mut items, 100).await,
                    Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
                }
            }
        };
        within(Duration::from_secs(20), opens).await;
        scene.server.shutdown().await.unwrap();
    })
    .await;
}

/// Streams between two connections of which one alone comes back anew.
async fn one_end_reconnects(is_server: bool) {
    let world = World::nats().await;
    let scene = Scene::on(&world.bus).await;
    let callers = world.another_bus().await;
    let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
    let client: StreamsClient = callers.client_with(ClientOptions::new().stream_options(options));
    let mut items = client.count(count(1, "wait")).await.unwrap();
    items.message().await.unwrap().unwrap();
    let mut collect = client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    super::until(|| scene.handler.items_taken() == 1).await;
    let bus = if is_server { &world.bus } else { &callers };
    bus.nats().unwrap().force_reconnect().await.unwrap();
    let (here, there) = match is_server {
        true => (Duration::from_millis(500), Duration::from_secs(2)),
        false => (Duration::from_secs(4), Duration::from_millis(500)),
    };
    let serves = within(here, scene.handler.wait_until_idle());
    let calls = within(there, async {
        let status = items.message().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        collect.closed().await;
        let status = collect.finish().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    });
    tokio::join!(serves, calls);
    complete(&mut client.count(count(9, "")).await.unwrap(), 9).await;
    scene.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_end_that_reconnects_ends_both() {
    let both = async { tokio::join!(one_end_reconnects(true), one_end_reconnects(false)) };
    within(Duration::from_secs(20), both).await;
}

async fn a_drain_lets_streams_finish_and_ends_the_rest(world: World) {
    let grace = Duration::from_millis(1_200);
    let stopping = Scene::with(&world.bus, |server| server.grace(grace)).await;
    let request = CountRequest {
        pause_us: 20_000,
        ..count(30, "")
    };
    let mut finishes = stopping.client.count(request).await.unwrap();
    let (mut sender, mut echoes) = stopping.client.echo().open().await.unwrap();
    let mut left = stopping.client.count(count(3, "wait")).await.unwrap();
    let mut open = stopping.client.collect().open().await.unwrap();
    open.send(item(0)).await.unwrap();
    super::until(|| stopping.handler.live_calls() == 4).await;
    let other_bus = world.another_bus().await;
    let staying = Scene::on(&other_bus).await;
    let Scene {
        handler,
        server,
        client,
        ..
    } = stopping;
    let shutdown = tokio::spawn(server.shutdown());
    let finishing = async {
        complete(&mut finishes, 30).await;
        // A stream that runs may go on with its conversation.
        for number in 0..10 {
            sender.send(item(number)).await.unwrap();
            assert_eq!(echoes.message().await.unwrap().unwrap().number, number);
        }
        sender.finish().await.unwrap();
        assert!(echoes.message().await.unwrap().is_none());
    };
    let ending = async {
        let (messages, failure) = read(&mut left).await;
        let failure = failure.unwrap();
        assert_eq!(messages, 3);
        assert_eq!(failure.code(), Code::Unavailable);
        assert_eq!(failure.reason(), Some(Reason::ShuttingDown), "{failure}");
        let failure = open.finish().await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::ShuttingDown), "{failure}");
    };
    let elsewhere = async {
        for _ in 0..50 {
            let mut items = client.count(count(2, "")).await.unwrap();
            complete(&mut items, 2).await;
            // sleep: spread over the grace period.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let all = async { tokio::join!(finishing, ending, elsewhere) };
    within(Duration::from_secs(10), all).await;
    within(Duration::from_secs(10), shutdown)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(handler.live_calls(), 0);
    assert!(staying.handler.items_made() >= 50, "new calls go elsewhere");
    staying.server.shutdown().await.unwrap();
}
