//! The memory budget of a server: what its callers make it hold counts, what exceeds the budget is refused, and all is
//! given back.

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{Code, Reason, RunningServer, Server, Status, StreamOptions};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, Blob, EchoAfterRequest, FillRequest};
use micro_tests::streams::{Item, StreamsClient};

use crate::carriers::{Carrier, on_both_carriers};
use crate::streams::fixture::StreamsFixture;
use crate::until::until;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

on_both_carriers! {
    requests_count_while_their_handlers_run
    unread_messages_of_streams_count
    parts_of_requests_count
    streams_that_are_idle_count
    one_caller_leaves_an_eighth_of_the_streams
    one_caller_leaves_an_eighth_of_the_memory
    streams_go_on_with_small_windows_while_memory_is_short
}

fn held_by(server: &RunningServer) -> usize {
    let held = server.stats()[0].data.as_ref().unwrap().held_bytes;
    usize::try_from(held).unwrap()
}

fn refused_by(server: &RunningServer) -> u64 {
    server.stats()[0].data.as_ref().unwrap().refused_holds
}

async fn requests_count_while_their_handlers_run(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.memory_budget(8 * MIB))
        .await;
    let call = || {
        let call = fixture.client.echo_after(EchoAfterRequest {
            data: vec![1; 900 * KIB],
            microseconds: 2_000_000,
        });
        async { call.no_retry().await }
    };
    // Seven eighths of the budget hold seven of them.
    let results = join_all((0..20).map(|_| call())).await;
    let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert!((1..=7).contains(&done.len()), "{} done", done.len());
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
        assert!(status.message().contains("memory budget"), "{status}");
    }
    // A request is given back behind its reply.
    until(|| held_by(&fixture.server) == 0).await;
    assert_eq!(refused_by(&fixture.server), 20 - done.len() as u64);
    call().await.unwrap();
    // Small ones are not counted, and go on where nothing is left.
    let full = join_all((0..8).map(|_| call()));
    let small = async {
        until(|| held_by(&fixture.server) > 6 * MIB).await;
        fixture.client.echo(Blob::default()).await.unwrap();
    };
    tokio::join!(full, small);
}

/// Opens a stream whose handler reads one item and no more, and sends items until the stream ends or has no room.
async fn fill_unread(client: &StreamsClient, items: usize) -> Option<Status> {
    let mut collect = client.collect().open().await.unwrap();
    let mut item = Item {
        plan: "wait".to_owned(),
        ..Item::default()
    };
    for _ in 0..items {
        // Without credit it waits.
        let sending = tokio::time::timeout(Duration::from_secs(1), collect.send(item));
        match sending.await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => return Some(status),
            Err(_) => break,
        }
        item = Item {
            data: vec![0; 60 * KIB],
            ..Item::default()
        };
    }
    let ended = tokio::time::timeout(Duration::from_millis(500), collect.finish());
    ended.await.ok().and_then(Result::err)
}

async fn unread_messages_of_streams_count(carrier: Carrier) {
    const BUDGET: usize = 4 * MIB;
    let mut fixture = StreamsFixture::start_with(&carrier.bus, |server| {
        server.memory_budget(BUDGET).stream_options(
            StreamOptions::new()
                .window_bytes(16 * 1024 * 1024)
                .window_messages(1024),
        )
    })
    .await;
    let server = &fixture.server;
    let filling = join_all((0..4).map(|_| fill_unread(&fixture.client, 100)));
    let watching = async {
        let mut most = 0;
        until(|| {
            most = most.max(held_by(server));
            refused_by(server) > 0
        })
        .await;
        most
    };
    let (ends, most) = tokio::join!(filling, watching);
    assert!(most > 0 && most <= BUDGET, "{most}");
    let refused: Vec<_> = ends.into_iter().flatten().collect();
    assert!(!refused.is_empty());
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
    }
    fixture.expect_held_back_lines();
    fixture.wait_until_idle().await;
    until(|| held_by(&fixture.server) == 0).await;
}

/// Requests of 4 MiB, each in parts, which their handlers have until they reply.
async fn parts_of_requests_count(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.memory_budget(16 * MIB))
        .await;
    let call = || {
        let call = fixture.client.echo_after(EchoAfterRequest {
            data: vec![7; 4 * MIB - 100],
            microseconds: 2_000_000,
        });
        async { call.no_retry().timeout(Duration::from_secs(30)).await }
    };
    let (results, most) = tokio::join!(join_all((0..8).map(|_| call())), async {
        let mut most = 0;
        until(|| {
            most = most.max(held_by(&fixture.server));
            refused_by(&fixture.server) >= 5
        })
        .await;
        most
    });
    // Seven eighths of the budget hold three of them.
    assert!(most > 8 * MIB && most <= 14 * MIB, "{most}");
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    let refused: Vec<_> = refused.collect();
    assert!((5..8).contains(&refused.len()), "{}", refused.len());
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
    }
    until(|| held_by(&fixture.server) == 0).await;
    call().await.unwrap();
}

/// A caller that knows nothing of offers takes none of them: they are kept for 5 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offered_replies_count_until_they_are_taken() {
    within(Duration::from_secs(60), async {
        let carrier = Carrier::nats().await;
        let set = |server: Server| server.memory_budget(8 * MIB);
        let fixture = carrier.serve_with(set).await;
        let server = &fixture.server;
        let plain = async_nats::connect(carrier.nats.as_ref().unwrap().url());
        let plain = plain.await.unwrap();
        let request = FillRequest {
            bytes: u32::try_from(2 * MIB).unwrap(),
        };
        for _ in 0..8 {
            let call = plain.request("behavior.v1.Behavior.Fill", request.encode_to_vec().into());
            let status = call.await.unwrap().headers.unwrap();
            assert_eq!(status.get("Micro-Status").unwrap().as_str(), "8");
        }
        assert!(held_by(server) > 4 * MIB && held_by(server) <= 8 * MIB);
        assert!(refused_by(server) >= 4, "{}", refused_by(server));
        // Small replies need no room.
        let small = fixture.client.fill(FillRequest { bytes: 10 }).await;
        assert_eq!(small.unwrap().data.len(), 10);
        until(|| held_by(server) == 0).await;
        let taken = fixture.client.fill(request).await;
        assert_eq!(taken.unwrap().data.len(), 2 * MIB);
    })
    .await;
}

async fn streams_that_are_idle_count(carrier: Carrier) {
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.memory_budget(160 * KIB)).await;
    let mut open = Vec::new();
    let refused = loop {
        match fixture.client.echo().no_retry().open().await {
            Ok(stream) => open.push(stream),
            Err(status) => break status,
        }
        assert!(open.len() <= 10);
    };
    assert_eq!(refused.reason(), Some(Reason::Overloaded), "{refused}");
    // Seven eighths of ten.
    assert_eq!(open.len(), 8);
    drop(open);
    until(|| held_by(&fixture.server) == 0).await;
    drop(fixture.client.echo().open().await.unwrap());
}

async fn one_caller_leaves_an_eighth_of_the_streams(carrier: Carrier) {
    let fixture = StreamsFixture::start_with(&carrier.bus, |server| server.max_streams(16)).await;
    let mut open = Vec::new();
    for _ in 0..14 {
        open.push(fixture.client.echo().open().await.unwrap());
    }
    let status = fixture.client.echo().no_retry().open().await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Overloaded), "{status}");
    assert!(status.message().contains("share"), "{status}");
    if carrier.nats.is_some() {
        let other: StreamsClient = carrier.another_bus().await.client();
        for _ in 0..2 {
            open.push(other.echo().open().await.unwrap());
        }
        let status = other.echo().no_retry().open().await.unwrap_err();
        assert!(!status.message().contains("share"), "{status}");
    }
    // One that has ended makes room for another.
    drop(open.pop());
    drop(open.pop());
    drop(open.pop());
    let reopened = async {
        while fixture.client.echo().no_retry().open().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(Duration::from_secs(10), reopened).await;
}

async fn one_caller_leaves_an_eighth_of_the_memory(carrier: Carrier) {
    let fixture = carrier
        .serve_with(|server| server.memory_budget(4 * MIB))
        .await;
    let hold = |client: &BehaviorClient| {
        let call = client.echo_after(EchoAfterRequest {
            data: vec![1; 400 * KIB],
            microseconds: 2_000_000,
        });
        async { call.no_retry().await }
    };
    let greedy = join_all((0..20).map(|_| hold(&fixture.client)));
    let other = async {
        until(|| refused_by(&fixture.server) > 0).await;
        assert!(held_by(&fixture.server) <= 7 * MIB / 2);
        if carrier.nats.is_some() {
            let bus = carrier.another_bus().await;
            hold(&bus.client()).await.unwrap();
        }
    };
    let (results, ()) = tokio::join!(greedy, other);
    // Requests that wait for their turn count, too.
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!((6..=8).contains(&done), "{done}");
}

/// More than half of the budget is held for the whole time.
async fn streams_go_on_with_small_windows_while_memory_is_short(carrier: Carrier) {
    let fixture =
        StreamsFixture::start_with(&carrier.bus, |server| server.memory_budget(4 * MIB)).await;
    let mut holding = Vec::new();
    while held_by(&fixture.server) <= 2 * MIB + 200 * KIB {
        holding.push(fixture.client.echo().open().await.unwrap());
    }
    let mut collect = fixture.client.collect().open().await.unwrap();
    for number in 0..400 {
        let item = Item {
            number,
            data: vec![1; 20 * KIB],
            ..Item::default()
        };
        collect.send(item).await.unwrap();
    }
    let summary = collect.finish().await.unwrap();
    assert_eq!((summary.messages, summary.is_in_order), (400, true));
    assert_eq!(refused_by(&fixture.server), 0);
}
