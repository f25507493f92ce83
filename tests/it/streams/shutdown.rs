//! Streams when their server drains, the nats-server restarts, or one connection is replaced.

use std::time::Duration;

use micro_runtime::{ClientOptions, Code, Reason, StreamOptions};
use micro_testkit::within;
use micro_tests::streams::{CountRequest, StreamsClient};

use super::fixture::StreamsFixture;
use super::items::{count, expect_items, item, read_to_end};
use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

on_both_carriers_and_paused! {
    a_drain_lets_streams_finish_and_ends_the_rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_nats_server_ends_streams_and_new_ones_work() {
    within(Duration::from_secs(40), async {
        let mut carrier = Carrier::nats().await;
        let fixture = StreamsFixture::start(&carrier.bus).await;
        let callers = carrier.another_bus().await;
        let client: StreamsClient = callers.client();
        let mut items = client.count(count(1, "wait")).await.unwrap();
        items.message().await.unwrap().unwrap();
        let mut collect = client.collect().open().await.unwrap();
        collect.send(item(0)).await.unwrap();
        let (mut sender, mut echoes) = client.echo().open().await.unwrap();
        sender.send(item(0)).await.unwrap();
        echoes.message().await.unwrap().unwrap();
        until(|| fixture.handler.items_taken() == 2).await;
        let nats = carrier.nats.as_mut().unwrap();
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
            // The handlers end when their own connection is lost, since no RESET can reach them.
            fixture.handler.wait_until_idle().await;
        };
        within(Duration::from_secs(3), ended).await;
        nats.restart().await.unwrap();
        let reopened = async {
            loop {
                match client.count(count(100, "")).await {
                    Ok(mut items) => return expect_items(&mut items, 100).await,
                    Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
                }
            }
        };
        within(Duration::from_secs(20), reopened).await;
        fixture.server.shutdown().await.unwrap();
    })
    .await;
}

/// Replaces the connection of the server or of the client, while the other stays connected.
async fn reconnect_one_end(is_server: bool) {
    let carrier = Carrier::nats().await;
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let callers = carrier.another_bus().await;
    let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
    let client: StreamsClient = callers.client_with(ClientOptions::new().stream_options(options));
    let mut items = client.count(count(1, "wait")).await.unwrap();
    items.message().await.unwrap().unwrap();
    let mut collect = client.collect().open().await.unwrap();
    collect.send(item(0)).await.unwrap();
    until(|| fixture.handler.items_taken() == 1).await;
    let bus = if is_server { &carrier.bus } else { &callers };
    bus.nats().unwrap().force_reconnect().await.unwrap();
    let (handler_limit, client_limit) = match is_server {
        true => (Duration::from_millis(500), Duration::from_secs(2)),
        false => (Duration::from_secs(4), Duration::from_millis(500)),
    };
    let handlers_end = within(handler_limit, fixture.handler.wait_until_idle());
    let calls_fail = within(client_limit, async {
        let status = items.message().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        collect.closed().await;
        let status = collect.finish().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    });
    tokio::join!(handlers_end, calls_fail);
    expect_items(&mut client.count(count(9, "")).await.unwrap(), 9).await;
    fixture.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconnect_of_one_end_ends_the_stream_at_both() {
    let both = async { tokio::join!(reconnect_one_end(true), reconnect_one_end(false)) };
    within(Duration::from_secs(20), both).await;
}

async fn a_drain_lets_streams_finish_and_ends_the_rest(carrier: Carrier) {
    let grace = Duration::from_millis(1_200);
    let stopping = StreamsFixture::start_with(&carrier.bus, |server| server.grace(grace)).await;
    let request = CountRequest {
        pause_us: 20_000,
        ..count(30, "")
    };
    let mut finishing_items = stopping.client.count(request).await.unwrap();
    let (mut sender, mut echoes) = stopping.client.echo().open().await.unwrap();
    let mut waiting_items = stopping.client.count(count(3, "wait")).await.unwrap();
    let mut collect_without_end = stopping.client.collect().open().await.unwrap();
    collect_without_end.send(item(0)).await.unwrap();
    until(|| stopping.handler.live_calls() == 4).await;
    let other_bus = carrier.another_bus().await;
    let staying = StreamsFixture::start(&other_bus).await;
    let StreamsFixture {
        handler,
        server,
        client,
        ..
    } = stopping;
    let shutdown = tokio::spawn(server.shutdown());
    let finishing = async {
        expect_items(&mut finishing_items, 30).await;
        // A stream that is open when the drain begins may go on in both directions.
        for number in 0..10 {
            sender.send(item(number)).await.unwrap();
            assert_eq!(echoes.message().await.unwrap().unwrap().number, number);
        }
        sender.finish().await.unwrap();
        assert!(echoes.message().await.unwrap().is_none());
    };
    let ending = async {
        let (messages, failure) = read_to_end(&mut waiting_items).await;
        let failure = failure.unwrap();
        assert_eq!(messages, 3);
        assert_eq!(failure.code(), Code::Unavailable);
        assert_eq!(failure.reason(), Some(Reason::ShuttingDown), "{failure}");
        let failure = collect_without_end.finish().await.unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::ShuttingDown), "{failure}");
    };
    let new_calls = async {
        for _ in 0..50 {
            let mut items = client.count(count(2, "")).await.unwrap();
            expect_items(&mut items, 2).await;
            // sleep: spread over the grace period.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let all = async { tokio::join!(finishing, ending, new_calls) };
    within(Duration::from_secs(10), all).await;
    within(Duration::from_secs(10), shutdown)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(handler.live_calls(), 0);
    assert!(staying.handler.items_made() >= 50, "new calls go elsewhere");
    staying.server.shutdown().await.unwrap();
}
