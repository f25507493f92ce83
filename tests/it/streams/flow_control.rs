//! Flow control: small windows, readers that stop, and many streams on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use micro_runtime::{Server, StreamOptions};
use micro_testkit::within;
use micro_tests::streams::CountRequest;
use tokio::time::Instant;

use super::fixture::StreamsFixture;
use super::items::{count, expect_items, item, item_with_plan, sized_item};
use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

on_both_carriers_and_paused! {
    the_smallest_windows_make_progress
    a_client_that_never_reads_stops_the_handler
    a_handler_that_never_reads_stops_the_client
    full_duplex_at_different_rates
    unread_streams_do_not_delay_other_calls
    a_thousand_streams_on_one_connection
}

async fn the_smallest_windows_make_progress(carrier: Carrier) {
    let smallest = [
        StreamOptions::new().window_messages(1),
        StreamOptions::new().window_bytes(1),
        StreamOptions::new().window_messages(0).window_bytes(0),
        StreamOptions::new().window_messages(2).window_bytes(100),
    ];
    for options in smallest {
        let set = |server: Server| server.stream_options(options);
        let fixture = StreamsFixture::start_with(&carrier.bus, set).await;
        let call = fixture.client.count(count(500, "")).stream_options(options);
        expect_items(&mut call.await.unwrap(), 500).await;
        let mut collect = fixture.client.collect().open().await.unwrap();
        for number in 0..500 {
            collect.send(sized_item(number, 3)).await.unwrap();
        }
        let summary = collect.finish().await.unwrap();
        assert_eq!((summary.messages, summary.bytes), (500, 1_500));
        let echo = fixture.client.echo().stream_options(options);
        let (mut sender, mut items) = echo.open().await.unwrap();
        let writing = async move {
            for number in 0..300 {
                sender.send(item(number)).await.unwrap();
            }
            sender.finish().await.unwrap();
        };
        tokio::join!(writing, expect_items(&mut items, 300));
        fixture.wait_until_idle().await;
        fixture.server.shutdown().await.unwrap();
    }
}

/// Waits until a number has not changed for 200 ms, and returns it.
async fn wait_until_stable(number: impl Fn() -> u64) -> u64 {
    let mut last = (number(), Instant::now());
    while last.1.elapsed() < Duration::from_millis(200) {
        tokio::time::sleep(Duration::from_millis(5)).await; // sleep: polling interval
        if number() != last.0 {
            last = (number(), Instant::now());
        }
    }
    last.0
}

async fn a_client_that_never_reads_stops_the_handler(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let check = async |options: StreamOptions, size: u32, max_made: u64| {
        let before = fixture.handler.items_made();
        let request = CountRequest {
            size,
            ..count(u64::MAX, "")
        };
        let call = fixture.client.count(request).stream_options(options);
        let mut items = call.await.unwrap();
        until(|| fixture.handler.items_made() > before).await;
        let made = wait_until_stable(|| fixture.handler.items_made()).await - before;
        assert!(
            made <= max_made,
            "{made} messages of {size} bytes were made"
        );
        // The handler goes on as soon as the client reads.
        for _ in 0..made + 10 {
            items.message().await.unwrap().unwrap();
        }
        drop(items);
        fixture.wait_until_idle().await;
    };
    // The items of the window, and one that was produced and waits for credit.
    let options = StreamOptions::new();
    check(options.window_messages(10), 16, 11).await;
    check(options.window_bytes(10_000), 1_000, 11).await;
    // The default window is 4 MiB; the last item may exceed it.
    check(options, 10_000, 421).await;
    // Items larger than a frame: one that is sent, and one that waits.
    check(options.window_bytes(64 * 1024), 3_000_000, 2).await;
}

async fn a_handler_that_never_reads_stops_the_client(carrier: Carrier) {
    let window = StreamOptions::new().window_bytes(50_000);
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(window)).await;
    let mut collect = fixture.client.collect().open().await.unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let writing = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            collect.send(item_with_plan("wait")).await.unwrap();
            loop {
                if collect.send(sized_item(0, 1_000)).await.is_err() {
                    return;
                }
                sent.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    until(|| sent.load(Ordering::SeqCst) > 0).await;
    let sent = wait_until_stable(|| sent.load(Ordering::SeqCst)).await;
    assert!((45..=52).contains(&sent), "{sent} were sent");
    writing.abort();
    fixture.wait_until_idle().await;
}

async fn full_duplex_at_different_rates(carrier: Carrier) {
    const MESSAGES: u64 = 3_000;
    let window = StreamOptions::new().window_messages(64);
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.stream_options(window)).await;
    for (write_every, read_every) in [(100, 1_000), (1_000, 100), (7, 7)] {
        let echo = fixture.client.echo().stream_options(window);
        let (mut sender, mut items) = echo.open().await.unwrap();
        let writing = tokio::spawn(async move {
            for number in 0..MESSAGES {
                sender.send(item(number)).await.unwrap();
                if number % write_every == 0 {
                    // sleep: one side is slower than the other.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            sender.finish().await.unwrap();
        });
        let reading = tokio::spawn(async move {
            let mut number = 0;
            while let Some(item) = items.message().await.unwrap() {
                assert_eq!(item.number, number);
                number += 1;
                if number % read_every == 0 {
                    // sleep: one side is slower than the other.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            number
        });
        writing.await.unwrap();
        assert_eq!(reading.await.unwrap(), MESSAGES);
    }
    fixture.wait_until_idle().await;
}

async fn unread_streams_do_not_delay_other_calls(carrier: Carrier) {
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let endless = CountRequest {
        size: 10_000,
        ..count(u64::MAX, "")
    };
    // Neither the client reads the first streams, nor the handler the second.
    let mut unread_by_client = Vec::new();
    let mut unread_by_handler = Vec::new();
    for _ in 0..8 {
        unread_by_client.push(fixture.client.count(endless.clone()).await.unwrap());
        let mut collect = fixture.client.collect().open().await.unwrap();
        unread_by_handler.push(tokio::spawn(async move {
            collect.send(item_with_plan("wait")).await.unwrap();
            while collect.send(sized_item(0, 10_000)).await.is_ok() {}
        }));
    }
    wait_until_stable(|| fixture.handler.items_made()).await;
    let unary = async {
        for _ in 0..200 {
            let started = Instant::now();
            fixture.client.repeat(item(1)).await.unwrap();
            assert!(started.elapsed() < Duration::from_secs(1));
        }
    };
    let streams = async {
        for _ in 0..20 {
            let mut items = fixture.client.count(count(1_000, "")).await.unwrap();
            expect_items(&mut items, 1_000).await;
        }
    };
    let both = async { tokio::join!(unary, streams) };
    within(Duration::from_secs(10), both).await;
    drop(unread_by_client);
    unread_by_handler
        .iter()
        .for_each(tokio::task::JoinHandle::abort);
    join_all(unread_by_handler).await;
    fixture.wait_until_idle().await;
}

async fn a_thousand_streams_on_one_connection(carrier: Carrier) {
    const STREAMS: u64 = 1_000;
    let fixture = StreamsFixture::start(&carrier.bus).await;
    let opening = (0..STREAMS).map(|_| async { fixture.client.echo().open().await });
    let opened = try_join_all(opening).await.unwrap();
    assert_eq!(opened.len() as u64, STREAMS);
    until(|| fixture.handler.live_calls() as u64 == STREAMS).await;
    let running = opened.into_iter().map(|(mut sender, mut items)| {
        tokio::spawn(async move {
            for number in 0..5 {
                sender.send(item(number)).await?;
                assert_eq!(items.message().await?.unwrap().number, number);
            }
            for number in 5..100 {
                sender.send(item(number)).await?;
            }
            sender.finish().await?;
            for number in 5..100 {
                assert_eq!(items.message().await?.unwrap().number, number);
            }
            items.message().await
        })
    });
    for stream in running.collect::<Vec<_>>() {
        assert!(stream.await.unwrap().unwrap().is_none());
    }
    fixture.wait_until_idle().await;
}
