//! Either end gives up early, anywhere: the other end learns of it, and nothing stays.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use micro_runtime::{Code, Reason, StreamOptions};
use micro_testkit::within;
use micro_tests::ITEMS_AFTER_DROP;
use micro_tests::streams::{Item, StreamsClient};

use super::statuses::complete;
use super::{Scene, count, heavy, item, plan, until};
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    a_call_is_dropped_at_each_of_its_polls
    a_stream_is_dropped_mid_way
    a_handler_hears_that_its_caller_is_gone
    a_handler_drops_its_stream_and_goes_on
    what_a_handler_leaves_behind_does_not_look_complete
    two_tasks_wait_for_the_end
    a_server_that_is_dropped_ends_its_streams
}

/// Polls a future so often at most, with time for the world to go on between, and drops it.
async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

async fn a_call_is_dropped_at_each_of_its_polls(world: World) {
    let scene = Scene::with(&world.bus, |server| server.max_streams(64)).await;
    // `never` accepts and does not open: the drop comes before, at or after ACCEPT.
    for times in (0..6).cycle().take(300) {
        let call = scene.client.count(count(3, "never")).into_future();
        assert!(poll_times(call, times).await.is_none());
        if times == 5 {
            scene.quiet().await;
        }
    }
    for times in (0..6).cycle().take(60) {
        drop(poll_times(scene.client.collect().open(), times).await);
        drop(poll_times(scene.client.echo().open(), times).await);
        drop(poll_times(scene.client.count(count(3, "wait")).into_future(), times).await);
        let large = scene.client.repeat(heavy(1, 3_000_000)).into_future();
        drop(poll_times(large, times * 10).await);
        if times == 5 {
            scene.quiet().await;
        }
    }
    scene.quiet().await;
    // Every place is free again.
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(scene.client.count(count(1, "wait")).await.unwrap());
    }
    drop(held);
    scene.quiet().await;
}

async fn a_stream_is_dropped_mid_way(world: World) {
    let scene = Scene::with(&world.bus, |server| server.max_streams(4)).await;
    for messages in [0, 1, 100, 70_000] {
        let mut items = scene.client.count(count(u64::MAX, "")).await.unwrap();
        for number in 0..messages {
            assert_eq!(items.message().await.unwrap().unwrap().number, number);
        }
        drop(items);
        scene.quiet().await;

        let mut collect = scene.client.collect().open().await.unwrap();
        for number in 0..messages {
            collect.send(item(number)).await.unwrap();
        }
        drop(collect);
        scene.quiet().await;

        // Before the reply is there, and after everything was said.
        let mut collect = scene.client.collect().open().await.unwrap();
        collect.send(plan("wait")).await.unwrap();
        assert!(poll_times(collect.finish(), 3).await.is_none());
        scene.quiet().await;

        // Each half of a bidirectional call ends it.
        let (mut sender, items) = scene.client.echo().open().await.unwrap();
        for number in 0..messages.min(1_000) {
            sender.send(item(number)).await.unwrap();
        }
        drop(items);
        let status = sender.send(item(0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Canceled);
        assert_eq!(status.reason(), Some(Reason::Dropped));
        scene.quiet().await;
        drop(sender);
        let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
        sender.send(item(0)).await.unwrap();
        drop(sender);
        let status = loop {
            if let Err(status) = items.message().await {
                break status;
            }
        };
        assert_eq!(status.reason(), Some(Reason::Dropped));
        scene.quiet().await;
    }
    // A send that is dropped while it waits sends nothing.
    let small = StreamOptions::new().window_messages(1);
    let scene = Scene::with(&world.bus, |server| server.stream_options(small)).await;
    let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
    let mut sent = 0;
    for number in 0..50 {
        let item = Item {
            number: sent,
            ..item(number)
        };
        if poll_times(sender.send(item), 1).await.is_some() {
            sent += 1;
        }
    }
    sender.finish().await.unwrap();
    complete(&mut items, sent).await;
    scene.quiet().await;
}

async fn a_handler_hears_that_its_caller_is_gone(world: World) {
    let scene = Scene::on(&world.bus).await;
    let mut items = scene
        .client
        .count(count(u64::MAX, ""))
        .header("watch", "yes")
        .await
        .unwrap();
    items.message().await.unwrap().unwrap();
    let dropped = Instant::now();
    drop(items);
    until(|| scene.handler.watched_ends().len() == 1).await;
    let took = scene.handler.watched_ends()[0].saturating_duration_since(dropped);
    assert!(took < Duration::from_millis(500), "{took:?}");
    let mut collect = scene.client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    until(|| scene.handler.items_taken() == 1).await;
    drop(collect);
    scene.quiet().await;
}

async fn a_handler_drops_its_stream_and_goes_on(world: World) {
    let small = StreamOptions::new().window_messages(8);
    let scene = Scene::with(&world.bus, |server| server.stream_options(small)).await;
    let mut collect = scene.client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    collect.send(plan("drop")).await.unwrap();
    // Far beyond the window: what nobody wants does not stop the sender.
    let mut sent = 0;
    while collect.send(item(1)).await.is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert!(sent > 16, "only {sent} were taken");
    assert_eq!(collect.finish().await.unwrap().messages, 1);

    let (mut sender, mut items) = scene.client.echo().open().await.unwrap();
    sender.send(plan("drop")).await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().plan, "drop");
    for number in 0..100 {
        // The handler may have ended meanwhile.
        if sender.send(item(number)).await.is_err() {
            break;
        }
    }
    complete(&mut items, ITEMS_AFTER_DROP).await;
    scene.quiet().await;
}

async fn what_a_handler_leaves_behind_does_not_look_complete(world: World) {
    let scene = Scene::on(&world.bus).await;
    let mut collect = scene.client.collect().open().await.unwrap();
    collect.send(plan("leave")).await.unwrap();
    collect.closed().await;
    // The caller had not finished when the handler replied.
    until(|| scene.handler.request_ends().len() == 1).await;
    let failures = scene.handler.request_ends();
    let failure = failures[0].as_ref().expect("it looks complete");
    assert_eq!(failure.code(), Code::Canceled, "{failure}");
    collect.finish().await.unwrap();
    scene.quiet().await;
}

async fn two_tasks_wait_for_the_end(world: World) {
    let scene = Scene::on(&world.bus).await;
    let (sender, items) = scene.client.echo().open().await.unwrap();
    let sender = std::sync::Arc::new(sender);
    let waiting = (0..3).map(|_| {
        let sender = std::sync::Arc::clone(&sender);
        tokio::spawn(async move { sender.closed().await })
    });
    let waiting = waiting.collect::<Vec<_>>();
    for task in &waiting {
        assert!(!task.is_finished());
    }
    tokio::task::yield_now().await;
    drop(items);
    for task in waiting {
        within(Duration::from_secs(5), task).await.unwrap();
    }
    assert!(sender.closed().now_or_never().is_some());
    scene.quiet().await;
}

async fn a_server_that_is_dropped_ends_its_streams(world: World) {
    let Scene {
        handler,
        server,
        client,
        ..
    } = Scene::on(&world.bus).await;
    let client: StreamsClient = client;
    let mut items = client.count(count(1, "wait")).await.unwrap();
    items.message().await.unwrap().unwrap();
    let collect = client.collect().open().await.unwrap();
    drop(server);
    let status = within(Duration::from_secs(5), items.message()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    within(Duration::from_secs(5), collect.closed()).await;
    assert_eq!(
        collect.finish().await.unwrap_err().code(),
        Code::Unavailable
    );
    within(Duration::from_secs(5), handler.wait_until_idle()).await;
}
