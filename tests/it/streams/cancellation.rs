//! Calls and streams that one end drops at any point: the other end is canceled, and nothing leaks.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;
use micro_runtime::{Code, Reason, StreamOptions};
use micro_testkit::within;
use micro_tests::ITEMS_AFTER_DROP;
use micro_tests::streams::{Item, StreamsClient};
use tokio::time::Instant;

use super::fixture::StreamsFixture;
use super::items::{count, expect_items, item, item_with_plan, sized_item};
use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

on_both_carriers_and_paused! {
    dropping_a_call_after_any_poll_leaks_nothing
    dropping_either_half_cancels_the_stream
    a_handler_context_ends_when_its_caller_drops_the_stream
    a_handler_may_drop_the_request_stream_and_continue
    a_request_stream_read_after_the_reply_ends_with_canceled
    several_tasks_may_await_closed
    a_wait_for_the_end_that_is_given_up_leaves_nothing
    dropping_a_server_ends_its_streams
}

/// Polls a future at most `times` times, with other tasks running in between, and drops it.
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

async fn dropping_a_call_after_any_poll_leaks_nothing(carrier: Carrier) {
    let fixture = StreamsFixture::start_with(&carrier.bus, |server| server.max_streams(64)).await;
    // The plan `never` accepts the stream and never opens it: the call is dropped before, at or
    // after ACCEPT.
    for times in (0..6).cycle().take(300) {
        let call = fixture.client.count(count(3, "never")).into_future();
        assert!(poll_times(call, times).await.is_none());
        if times == 5 {
            fixture.wait_until_idle().await;
        }
    }
    for times in (0..6).cycle().take(60) {
        drop(poll_times(fixture.client.collect().open(), times).await);
        drop(poll_times(fixture.client.echo().open(), times).await);
        drop(poll_times(fixture.client.count(count(3, "wait")).into_future(), times).await);
        let large = fixture
            .client
            .repeat(sized_item(1, 3_000_000))
            .into_future();
        drop(poll_times(large, times * 10).await);
        if times == 5 {
            fixture.wait_until_idle().await;
        }
    }
    fixture.wait_until_idle().await;
    // All permits are free again: of 64, one caller gets seven eighths.
    let mut held = Vec::new();
    for _ in 0..56 {
        held.push(fixture.client.count(count(1, "wait")).await.unwrap());
    }
    drop(held);
    fixture.wait_until_idle().await;
}

async fn dropping_either_half_cancels_the_stream(carrier: Carrier) {
    let fixture = StreamsFixture::start_with(&carrier.bus, |server| server.max_streams(4)).await;
    for messages in [0, 1, 100, 70_000] {
        let mut items = fixture.client.count(count(u64::MAX, "")).await.unwrap();
        for number in 0..messages {
            assert_eq!(items.message().await.unwrap().unwrap().number, number);
        }
        drop(items);
        fixture.wait_until_idle().await;

        let mut collect = fixture.client.collect().open().await.unwrap();
        for number in 0..messages {
            collect.send(item(number)).await.unwrap();
        }
        drop(collect);
        fixture.wait_until_idle().await;

        // After the last item, before the reply.
        let mut collect = fixture.client.collect().open().await.unwrap();
        collect.send(item_with_plan("wait")).await.unwrap();
        assert!(poll_times(collect.finish(), 3).await.is_none());
        fixture.wait_until_idle().await;

        // Dropping one half of a bidirectional call ends the other.
        let (mut sender, items) = fixture.client.echo().open().await.unwrap();
        for number in 0..messages.min(1_000) {
            sender.send(item(number)).await.unwrap();
        }
        drop(items);
        let status = sender.send(item(0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Canceled);
        assert_eq!(status.reason(), Some(Reason::Dropped));
        fixture.wait_until_idle().await;
        drop(sender);
        let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
        sender.send(item(0)).await.unwrap();
        drop(sender);
        let status = loop {
            if let Err(status) = items.message().await {
                break status;
            }
        };
        assert_eq!(status.reason(), Some(Reason::Dropped));
        fixture.wait_until_idle().await;
    }
    // A send that is dropped while it waits for credit sends nothing.
    let small = StreamOptions::new().window_messages(1);
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(small)).await;
    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
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
    expect_items(&mut items, sent).await;
    fixture.wait_until_idle().await;
}

async fn a_handler_context_ends_when_its_caller_drops_the_stream(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let mut items = fixture
        .client
        .count(count(u64::MAX, ""))
        .header("watch", "yes")
        .await
        .unwrap();
    items.message().await.unwrap().unwrap();
    let dropped = Instant::now();
    drop(items);
    until(|| fixture.handler.watched_ends().len() == 1).await;
    let elapsed = fixture.handler.watched_ends()[0].saturating_duration_since(dropped);
    assert!(elapsed < Duration::from_millis(500), "{elapsed:?}");
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    until(|| fixture.handler.items_taken() == 1).await;
    drop(collect);
    fixture.wait_until_idle().await;
}

async fn a_handler_may_drop_the_request_stream_and_continue(carrier: Carrier) {
    let small = StreamOptions::new().window_messages(8);
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(small)).await;
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    collect.send(item_with_plan("drop")).await.unwrap();
    // Far beyond the window: a dropped stream grants credit and discards what arrives.
    let mut sent = 0;
    while collect.send(item(1)).await.is_ok() {
        sent += 1;
        tokio::time::sleep(Duration::from_millis(1)).await; // sleep: the handler replies after 100 ms
    }
    assert!(sent > 16, "only {sent} were taken");
    assert_eq!(collect.finish().await.unwrap().messages, 1);

    let (mut sender, mut items) = fixture.client.echo().open().await.unwrap();
    sender.send(item_with_plan("drop")).await.unwrap();
    assert_eq!(items.message().await.unwrap().unwrap().plan, "drop");
    for number in 0..100 {
        // The call may have ended by now.
        if sender.send(item(number)).await.is_err() {
            break;
        }
    }
    expect_items(&mut items, ITEMS_AFTER_DROP).await;
    fixture.wait_until_idle().await;
}

async fn a_request_stream_read_after_the_reply_ends_with_canceled(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let mut collect = fixture.client.collect().open().await.unwrap();
    collect.send(item_with_plan("leave")).await.unwrap();
    collect.closed().await;
    // The caller had not finished its stream when the handler replied.
    until(|| fixture.handler.request_ends().len() == 1).await;
    let failures = fixture.handler.request_ends();
    let failure = failures[0].as_ref().expect("it looks complete");
    assert_eq!(failure.code(), Code::Canceled, "{failure}");
    collect.finish().await.unwrap();
    fixture.wait_until_idle().await;
}

async fn several_tasks_may_await_closed(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let (sender, items) = fixture.client.echo().open().await.unwrap();
    let sender = Arc::new(sender);
    let waiting = (0..3).map(|_| {
        let sender = Arc::clone(&sender);
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
    fixture.wait_until_idle().await;
}

/// A waker that is counted by its references.
struct CountedWaker;

impl Wake for CountedWaker {
    fn wake(self: Arc<Self>) {}
}

async fn a_wait_for_the_end_that_is_given_up_leaves_nothing(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let (sender, items) = fixture.client.echo().open().await.unwrap();
    for _ in 0..100 {
        let counted = Arc::new(CountedWaker);
        let waker = Waker::from(Arc::clone(&counted));
        let mut cx = std::task::Context::from_waker(&waker);
        for _ in 0..3 {
            assert!(pin!(sender.closed()).poll(&mut cx).is_pending());
            assert!(pin!(sender.stopping()).poll(&mut cx).is_pending());
            assert!(pin!(items.stopping()).poll(&mut cx).is_pending());
        }
        drop(waker);
        assert_eq!(Arc::strong_count(&counted), 1);
    }
    drop(items);
    within(Duration::from_secs(5), sender.closed()).await;
    drop(sender);
    fixture.wait_until_idle().await;
}

async fn dropping_a_server_ends_its_streams(carrier: Carrier) {
    let StreamsFixture {
        handler,
        server,
        client,
        ..
    } = StreamsFixture::start(&carrier.bus).await;
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
