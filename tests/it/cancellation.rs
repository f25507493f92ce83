//! Calls that their callers give up: their handlers end at the next await, and no others do.

use std::future::{IntoFuture as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use micro_runtime::{Bus, ClientOptions, Code, ConnectOptions, ConnectionState, Reason, Status};
use micro_testkit::{Direction, Proxy};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, Blob, WaitRequest};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::layered::with_and_without_layer;
use crate::round_trip::round_trip;
use crate::until::until;

const LONG: Duration = Duration::from_secs(3600);
const CANCELS: &str = "behavior.v1.Behavior._i._all._cancel";

on_both_carriers_and_paused! {
    dropped_calls_end_their_handlers_and_no_others
    calls_dropped_in_their_first_poll_leave_no_handler
    a_cancellation_that_names_no_call_ends_none
    the_calls_of_a_handler_that_is_canceled_are_canceled_too
}

fn forever() -> WaitRequest {
    BehaviorHandler::UNTIL_RELEASED
}

async fn dropped_calls_end_their_handlers_and_no_others(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let handler = &fixture.handler;
    let other = carrier.another_bus().await;
    let mut dropped = 0;
    for options in with_and_without_layer(&ClientOptions::new()) {
        for count in [1, 2, 100] {
            let started = handler.started();
            let client: BehaviorClient = other.client_with(options.clone());
            let stays = tokio::spawn(client.wait(forever()).timeout(LONG).into_future());
            let mut calls = JoinSet::new();
            for _ in 0..count {
                calls.spawn(client.wait(forever()).timeout(LONG).into_future());
            }
            until(|| handler.started() == started + count + 1).await;
            calls.shutdown().await;
            dropped += count;
            until(|| handler.dropped() == dropped).await;
            assert_eq!(handler.running(), 1);
            handler.release();
            stays.await.unwrap().unwrap();
            assert_eq!(handler.dropped(), dropped);
        }
    }
    let failed = || {
        let endpoints = fixture.server.stats().remove(0).endpoints;
        let wait = endpoints.iter().find(|one| one.name == "Wait");
        wait.unwrap().num_errors
    };
    // A handler is counted behind its drop.
    until(|| failed() >= dropped as u64).await;
    assert_eq!(failed(), dropped as u64);
}

/// The cancellation follows its request at once, and may overtake it.
async fn calls_dropped_in_their_first_poll_leave_no_handler(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    for _ in 0..200 {
        let mut call = pin!(client.wait(forever()).timeout(LONG).into_future());
        let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    client.echo(Blob::default()).await.unwrap();
    until(|| fixture.handler.running() == 0).await;
    assert_eq!(fixture.handler.started(), fixture.handler.dropped());
}

async fn a_cancellation_that_names_no_call_ends_none(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    let calls = [(); 8].map(|()| tokio::spawn(client.wait(forever()).timeout(LONG).into_future()));
    until(|| fixture.handler.started() == 8).await;
    let attacker = carrier.another_bus().await;
    let garbage = vec![b'\xff'; 4096];
    for payload in [&b""[..], b"A", b"AAAAAAAAAAAAAAAA", &[b'A'; 1000], &garbage] {
        for slot in 0..8_u8 {
            let forged = [payload, &[b'A' + slot]].concat();
            attacker.publish_raw(CANCELS, forged).await.unwrap();
        }
    }
    client.echo(Blob::default()).await.unwrap();
    fixture.handler.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(fixture.handler.dropped(), 0);
}

async fn the_calls_of_a_handler_that_is_canceled_are_canceled_too(carrier: Carrier) {
    let fixture = carrier.serve().await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        calls.spawn(client.relay(forever()).timeout(LONG).into_future());
    }
    until(|| fixture.handler.started() == 20).await;
    calls.shutdown().await;
    until(|| fixture.handler.dropped() == 20).await;
}

/// The payload is the last token of each reply subject; those of one burst share a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_carries_the_tokens_of_its_calls() {
    const CALLS: usize = 512;
    let carrier = Carrier::nats().await;
    let fixture = carrier.serve().await;
    let nats = carrier.another_bus().await.nats().unwrap();
    let mut requests = nats.subscribe("behavior.v1.Behavior.Wait").await.unwrap();
    let mut cancels = nats.subscribe(CANCELS).await.unwrap();
    round_trip(&nats).await;
    let client: BehaviorClient = carrier.another_bus().await.client();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        calls.spawn(client.wait(forever()).timeout(LONG).into_future());
    }
    let mut expected = Vec::new();
    for _ in 0..CALLS {
        let reply = requests.next().await.unwrap().reply.unwrap();
        expected.push(reply.rsplit_once('.').unwrap().1.to_owned());
    }
    until(|| fixture.handler.started() == CALLS).await;
    calls.shutdown().await;
    let (mut found, mut messages) = (Vec::new(), 0);
    while found.len() < CALLS {
        let message = cancels.next().await.unwrap();
        assert!(message.reply.is_none() && message.headers.is_none());
        assert!(message.payload.len() <= 4096 && message.payload.len() % 16 == 0);
        let tokens = message.payload.chunks(16);
        found.extend(tokens.map(|token| String::from_utf8(token.to_vec()).unwrap()));
        messages += 1;
    }
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert!(messages < CALLS / 4, "{messages} messages");
}

/// The connection of the caller is silent, and counts as lost before NATS has the requests, which it gets later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_whose_requests_are_lost_unconfirmed_are_canceled_when_these_arrive() {
    for options in with_and_without_layer(&ClientOptions::new()) {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve().await;
        let mut requests = requests_of(&carrier).await;
        let proxy = Proxy::start(carrier.nats.as_ref().unwrap().port())
            .await
            .unwrap();
        let caller = Bus::connect(proxy.url()).await.unwrap();
        let client: BehaviorClient = caller.client_with(options);
        client.echo(Blob::default()).await.unwrap();
        proxy.hold(Direction::ToServer);
        for ended in join_all(waits(&client, LONG)).await {
            let status = ended.unwrap().unwrap_err();
            assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
        }
        // Through the next connection, behind the cancellation.
        until(|| caller.state() == ConnectionState::Connected).await;
        client.echo(Blob::default()).await.unwrap();
        proxy.release();
        for _ in 0..HELD_UP {
            requests.next().await.unwrap();
        }
        client.echo(Blob::default()).await.unwrap();
        until(|| fixture.handler.running() == 0).await;
        assert_eq!(fixture.handler.started(), fixture.handler.dropped());
    }
}

/// The requests begin their time anew when NATS goes on. Their callers have gone by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_end_while_nats_is_frozen_are_canceled_when_it_goes_on() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let mut carrier = Carrier::nats().await;
    let fixture = carrier.serve().await;
    let mut requests = requests_of(&carrier).await;
    // Not lost in the meantime.
    let options = ConnectOptions::new()
        .silence_timeout(LONG)
        .ping_interval(LONG);
    let nats = carrier.nats.as_mut().unwrap();
    let caller = Bus::connect_with(options, nats.url()).await.unwrap();
    let client: BehaviorClient = caller.client();
    client.echo(Blob::default()).await.unwrap();
    // A reply that is unconfirmed when NATS freezes would cost the service its connection.
    carrier.bus.flush().await.unwrap();
    nats.pause().unwrap();
    let calls = join_all(waits(&client, TIMEOUT));
    for ended in calls.await {
        let status = ended.unwrap().unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Deadline), "{status}");
    }
    nats.resume().unwrap();
    let resumed = Instant::now();
    for _ in 0..HELD_UP {
        requests.next().await.unwrap();
    }
    client.echo(Blob::default()).await.unwrap();
    until(|| fixture.handler.running() == 0).await;
    assert_eq!(fixture.handler.started(), fixture.handler.dropped());
    let took = resumed.elapsed();
    assert!(took < TIMEOUT / 2, "{took:?}");
}

/// Number of requests that are held up.
const HELD_UP: usize = 20;

fn waits(
    client: &BehaviorClient,
    timeout: Duration,
) -> impl Iterator<Item = JoinHandle<Result<Blob, Status>>> {
    (0..HELD_UP).map(move |_| tokio::spawn(client.wait(forever()).timeout(timeout).into_future()))
}

/// Subscribes to the requests of the calls that wait, beside the service.
async fn requests_of(carrier: &Carrier) -> Subscriber {
    let nats = carrier.another_bus().await.nats().unwrap();
    let requests = nats.subscribe("behavior.v1.Behavior.Wait").await.unwrap();
    round_trip(&nats).await;
    requests
}

/// The server ends a handler at the timeout that it was given, and a reply has ended it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_end_by_themselves_are_not_canceled() {
    let carrier = Carrier::nats().await;
    let fixture = carrier.serve().await;
    let nats = carrier.another_bus().await.nats().unwrap();
    let mut cancels = nats.subscribe(CANCELS).await.unwrap();
    round_trip(&nats).await;
    let bus = carrier.another_bus().await;
    let client: BehaviorClient = bus.client();
    for _ in 0..20 {
        client.echo(Blob::default()).await.unwrap();
        let call = client.wait(forever()).timeout(Duration::from_millis(5));
        assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
    }
    // sleep: a call whose request is held up is canceled 250 ms after its beginning.
    tokio::time::sleep(Duration::from_millis(400)).await;
    // Dropped after its reply, and before it was sent.
    drop(client.echo(Blob::default()).into_future());
    until(|| fixture.handler.running() == 0).await;
    bus.nats()
        .unwrap()
        .publish(CANCELS, "end".into())
        .await
        .unwrap();
    assert_eq!(cancels.next().await.unwrap().payload, "end");
}

/// The bus is closed while its connection is there: each handler hears of it, as when its call is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_bus_that_is_closed_or_dropped_are_canceled() {
    const CALLS: usize = 500;
    for is_closed in [true, false] {
        let carrier = Carrier::nats().await;
        let fixture = carrier.serve().await;
        let caller = carrier.another_bus().await;
        let client: BehaviorClient = caller.client();
        let mut calls = JoinSet::new();
        for _ in 0..CALLS {
            calls.spawn(client.wait(forever()).timeout(LONG).into_future());
        }
        until(|| fixture.handler.running() == CALLS).await;
        if is_closed {
            // Each has the outcome of the one that closes first.
            let closing = join_all([caller.close(), caller.close(), caller.close()]).await;
            assert!(closing.iter().all(Result::is_ok), "{closing:?}");
            while let Some(ended) = calls.join_next().await {
                let status = ended.unwrap().unwrap_err();
                assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
            }
        } else {
            calls.shutdown().await;
            drop((client, caller));
        }
        until(|| fixture.handler.running() == 0).await;
        assert_eq!(fixture.handler.dropped(), CALLS);
    }
}

/// More calls at once than a server keeps tokens of, all of them dropped in one poll.
#[tokio::test]
async fn thousands_of_calls_that_are_dropped_at_once_are_all_canceled() {
    const CALLS: usize = 10_000;
    let carrier = Carrier::nats().await;
    let fixture = carrier.serve().await;
    let caller = carrier.another_bus().await;
    let client: BehaviorClient = caller.client();
    let calls = join_all((0..CALLS).map(|_| client.wait(forever()).timeout(LONG).into_future()));
    let begun = until(|| fixture.handler.running() == CALLS);
    tokio::select! {
        _ = calls => unreachable!("they do not end"),
        () = begun => {}
    }
    until(|| fixture.handler.running() == 0).await;
    assert_eq!(fixture.handler.dropped(), CALLS);
}
