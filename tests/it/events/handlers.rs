//! Handlers of events on a server: who gets what, in which order, and what is seen of failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::{
    Bus, Context, EventStats, RunningServer, Server, Status, Subscriber, Subscription,
};
use micro_runtime::{ErrorKind, service};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use micro_tests::market::{Trade, TradeFilter};
use micro_tests::overlapping::{Overlapping, OverlappingFilter};
use tokio::sync::{Semaphore, mpsc};

use super::streams::trade;
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    a_broadcast_reaches_all_and_a_queue_one
    one_worker_keeps_the_order
    so_many_run_at_a_time_and_no_more
    the_order_is_kept_for_each_key
    what_finds_no_room_is_dropped_and_counted
    what_is_no_event_is_counted_and_seen
    failures_and_panics_are_counted_and_seen
    a_slow_handler_holds_up_nobody_else
    a_stop_loses_nothing_that_arrived
    what_outlasts_the_grace_is_dropped
    a_hundred_thousand_events_arrive
    subjects_of_calls_are_refused
    a_handler_may_take_an_arc_and_goes_on_in_the_trace
}

/// Hands on what it gets; on the way it may wait, fail or panic, as the symbol says.
#[derive(Clone)]
struct Probe {
    seen: mpsc::UnboundedSender<(Trade, Context)>,
    /// A handler that waits takes one permit.
    gate: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

type Seen = mpsc::UnboundedReceiver<(Trade, Context)>;

fn probe() -> (Probe, Seen) {
    let (seen, receiver) = mpsc::unbounded_channel();
    let probe = Probe {
        seen,
        gate: Arc::new(Semaphore::new(0)),
        running: Arc::default(),
        most: Arc::default(),
    };
    (probe, receiver)
}

#[service]
impl Subscriber<Trade> for Probe {
    async fn on_event(&self, ctx: Context, event: Trade) -> Result<(), Status> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        if event.symbol == "wait" {
            self.gate.acquire().await.unwrap().forget();
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        match event.symbol.as_str() {
            "fail" => return Err(Status::not_found("no such account")),
            "panic" => panic!("a bad day"),
            _ => {}
        }
        let _ = self.seen.send((event, ctx));
        Ok(())
    }
}

async fn publish(bus: &Bus, symbol: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        bus.publish(&trade("v", symbol, number)).await.unwrap();
    }
}

async fn serve(bus: &Bus, subscriber: Probe, subscription: Subscription<Trade>) -> RunningServer {
    let server = Server::new(bus).subscribe::<Trade>(subscriber, subscription);
    server.start().await.unwrap()
}

/// Waits until the counts are so.
async fn counts(server: &RunningServer, are: impl Fn(&EventStats) -> bool) -> EventStats {
    loop {
        let stats = server.events().remove(0);
        if are(&stats) {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(1)).await; // sleep: counters wake nobody
    }
}

async fn next(seen: &mut Seen) -> u64 {
    seen.recv().await.unwrap().0.number
}

async fn a_broadcast_reaches_all_and_a_queue_one(world: World) {
    let mut servers = Vec::new();
    let (shared, mut by_queue) = probe();
    let mut by_broadcast = Vec::new();
    for _ in 0..3 {
        let (own, seen) = probe();
        by_broadcast.push(seen);
        let server = Server::new(&world.another_bus().await)
            .subscribe::<Trade>(shared.clone(), Subscription::queue("recorder"))
            .subscribe::<Trade>(Arc::new(own), Subscription::broadcast());
        servers.push(server.start().await.unwrap());
    }
    publish(&world.bus, "x", 0..300).await;
    for seen in &mut by_broadcast {
        for number in 0..300 {
            assert_eq!(next(seen).await, number);
        }
    }
    let mut numbers = Vec::new();
    for _ in 0..300 {
        numbers.push(next(&mut by_queue).await);
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..300));
    let shares = servers.iter().map(|server| server.events()[0].received);
    let shares: Vec<u64> = shares.collect();
    assert_eq!(shares.iter().sum::<u64>(), 300);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    let stats = &servers[0].events()[0];
    assert_eq!(stats.subject, "evt.market.trade.*.*");
    assert_eq!(stats.group.as_deref(), Some("recorder"));
}

async fn one_worker_keeps_the_order(world: World) {
    let (probe, mut seen) = probe();
    let _server = serve(&world.bus, probe.clone(), Subscription::broadcast()).await;
    publish(&world.bus, "x", 0..2000).await;
    publish(&world.bus, "panic", 0..1).await;
    publish(&world.bus, "wait", 2000..2001).await;
    publish(&world.bus, "x", 2001..3000).await;
    probe.gate.add_permits(1);
    for number in 0..3000 {
        assert_eq!(next(&mut seen).await, number);
    }
    assert_eq!(probe.most.load(Ordering::SeqCst), 1);
}

async fn so_many_run_at_a_time_and_no_more(world: World) {
    let (probe, mut seen) = probe();
    let subscription = Subscription::broadcast().concurrent(4);
    let server = serve(&world.bus, probe.clone(), subscription).await;
    publish(&world.bus, "wait", 0..20).await;
    counts(&server, |stats| stats.received == 20).await;
    while probe.running.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    probe.gate.add_permits(20);
    for _ in 0..20 {
        next(&mut seen).await;
    }
    assert_eq!(probe.most.load(Ordering::SeqCst), 4);
}

async fn the_order_is_kept_for_each_key(world: World) {
    let (probe, mut seen) = probe();
    let subscription = Subscription::broadcast()
        .concurrent(8)
        .ordered_by(|trade: &Trade| trade.venue.clone());
    let _server = serve(&world.bus, probe, subscription).await;
    // Venue 0 waits; the others do not wait for it, but those who share its worker.
    for number in 0..4000 {
        let venue = (number % 50).to_string();
        world
            .bus
            .publish(&trade(&venue, "x", number))
            .await
            .unwrap();
    }
    let mut last = std::collections::HashMap::new();
    for _ in 0..4000 {
        let (event, _) = seen.recv().await.unwrap();
        if let Some(before) = last.insert(event.venue.clone(), event.number) {
            assert!(before < event.number, "{event:?} after {before}");
        }
    }
}

async fn what_finds_no_room_is_dropped_and_counted(world: World) {
    let (probe, mut seen) = probe();
    let subscription = Subscription::broadcast().max_waiting(10);
    let server = serve(&world.bus, probe.clone(), subscription).await;
    publish(&world.bus, "wait", 0..1).await;
    while probe.running.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    publish(&world.bus, "wait", 1..100).await;
    let stats = counts(&server, |stats| stats.received == 100).await;
    assert_eq!(stats.dropped, 89);
    probe.gate.add_permits(11);
    for number in 0..11 {
        assert_eq!(next(&mut seen).await, number);
    }
    assert_eq!(
        counts(&server, |stats| stats.handled == 11).await.dropped,
        89
    );
}

async fn what_is_no_event_is_counted_and_seen(world: World) {
    let (probe, mut seen) = probe();
    let server = serve(&world.bus, probe, Subscription::broadcast()).await;
    let raw = |payload: &'static [u8]| world.bus.publish_raw("evt.market.trade.v.x", payload);
    raw(b"\xff\xff").await.unwrap();
    publish(&world.bus, "x", 1..2).await;
    assert_eq!(next(&mut seen).await, 1);
    let stats = counts(&server, |stats| stats.handled == 1).await;
    assert_eq!((stats.received, stats.undecodable), (2, 1));
    let error = stats.last_error.unwrap().to_string();
    assert!(error.contains("is not a market.v1.Trade"), "{error}");
}

async fn failures_and_panics_are_counted_and_seen(world: World) {
    let (probe, mut seen) = probe();
    let subscription = Subscription::broadcast().timeout(Duration::from_millis(20));
    let server = serve(&world.bus, probe, subscription).await;
    let cases = [
        ("fail", "NOT_FOUND: no such account"),
        ("panic", "a bad day"),
        ("wait", "did not end in time"),
    ];
    for (number, (symbol, part)) in (1..).zip(cases) {
        publish(&world.bus, symbol, 0..1).await;
        let ended = |stats: &EventStats| stats.failed + stats.panicked == number;
        let stats = counts(&server, ended).await;
        let error = stats.last_error.unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    publish(&world.bus, "x", 7..8).await;
    assert_eq!(next(&mut seen).await, 7);
    let stats = counts(&server, |stats| stats.handled == 1).await;
    assert_eq!((stats.failed, stats.panicked), (2, 1));
}

async fn a_slow_handler_holds_up_nobody_else(world: World) {
    let (slow, _slow_seen) = probe();
    let (fast, mut seen) = probe();
    let server = Server::new(&world.bus)
        .subscribe::<Trade>(slow.clone(), Subscription::broadcast())
        .subscribe::<Trade>(fast.clone(), Subscription::broadcast());
    let server = server.start().await.unwrap();
    fast.gate.add_permits(Semaphore::MAX_PERMITS >> 1);
    publish(&world.bus, "wait", 0..5000).await;
    for number in 0..5000 {
        assert_eq!(next(&mut seen).await, number);
    }
    let stats = server.events();
    assert_eq!((stats[0].handled, stats[0].dropped), (0, 0));
    slow.gate.add_permits(5000);
    server.shutdown().await.unwrap();
}

/// Everything that was published before the stop is handled before it returns.
async fn a_stop_loses_nothing_that_arrived(world: World) {
    for workers in [1, 8] {
        let (probe, mut seen) = probe();
        let subscription = Subscription::queue("recorder").concurrent(workers);
        let bus = world.another_bus().await;
        let server = serve(&bus, probe, subscription).await;
        publish(&world.bus, "x", 0..5000).await;
        // Comes back only behind the events, on a connection of its own.
        let mut marker = world.bus.subscribe_raw("evt.marker").await.unwrap();
        world.bus.publish_raw("evt.marker", "").await.unwrap();
        marker.next().await.unwrap();
        server.shutdown().await.unwrap();
        let mut count = 0;
        while seen.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 5000, "{workers} workers");
    }
}

async fn what_outlasts_the_grace_is_dropped(world: World) {
    let (probe, mut seen) = probe();
    let server = Server::new(&world.bus)
        .subscribe::<Trade>(probe.clone(), Subscription::broadcast())
        .grace(Duration::from_millis(50));
    let server = server.start().await.unwrap();
    publish(&world.bus, "wait", 0..10).await;
    counts(&server, |stats| stats.received == 10).await;
    server.shutdown().await.unwrap();
    assert!(seen.try_recv().is_err());
    drop(probe);
    assert!(seen.recv().await.is_none(), "a worker is left");
}

async fn a_hundred_thousand_events_arrive(world: World) {
    let (probe, mut seen) = probe();
    let subscription = Subscription::broadcast().max_waiting(100_000);
    let server = serve(&world.bus, probe, subscription).await;
    let publisher = world.another_bus().await;
    // As far ahead as NATS and async-nats buffer for one subscription, and no further.
    for round in 0..100 {
        publish(&publisher, "x", round * 1000..(round + 1) * 1000).await;
        if round >= 20 {
            for number in (round - 20) * 1000..(round - 19) * 1000 {
                assert_eq!(next(&mut seen).await, number);
            }
        }
    }
    for number in 80_000..100_000 {
        assert_eq!(next(&mut seen).await, number);
    }
    let stats = counts(&server, |stats| stats.handled == 100_000).await;
    assert_eq!((stats.received, stats.dropped), (100_000, 0));
}

async fn subjects_of_calls_are_refused(world: World) {
    struct Idle;

    #[service]
    impl Subscriber<Overlapping> for Idle {
        async fn on_event(&self, _: Context, _: Overlapping) -> Result<(), Status> {
            Ok(())
        }
    }

    let bus = world.bus.with_prefix("staging").unwrap();
    let server = |filter| {
        Server::new(&bus)
            .subscribe::<Overlapping>(Idle, Subscription::broadcast().filter(filter))
            .add(BehaviorServer::new(BehaviorHandler::default()))
            .start()
    };
    for (filter, subject) in [
        (OverlappingFilter::new(), "*"),
        (OverlappingFilter::new().method("Swap"), "Swap"),
    ] {
        let error = server(filter).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Service);
        let text = error.to_string();
        assert!(
            text.contains(&format!(
                "`staging.behavior.v1.Behavior.{subject}` of overlapping.v1.Overlapping"
            )),
            "{text}"
        );
        assert!(
            text.contains("call subject `staging.behavior.v1.Behavior."),
            "{text}"
        );
    }
    let other = OverlappingFilter::new().method("Other");
    server(other).await.unwrap().shutdown().await.unwrap();
}

async fn a_handler_may_take_an_arc_and_goes_on_in_the_trace(world: World) {
    struct Forwarding(Bus);

    #[service]
    impl Subscriber<Trade> for Forwarding {
        async fn on_event(self: Arc<Self>, ctx: Context, event: Trade) -> Result<(), Status> {
            if event.venue == "first" {
                let next = trade("second", &event.symbol, event.number);
                self.0.publish(&next).within(&ctx).header("k", "v").await?;
            }
            Ok(())
        }
    }

    let server = Server::new(&world.bus)
        .subscribe::<Trade>(Forwarding(world.bus.clone()), Subscription::broadcast());
    let _server = server.start().await.unwrap();
    let filter = TradeFilter::new().venue("second");
    let mut second = world.bus.subscribe::<Trade>(filter).await.unwrap();
    world.bus.publish(&trade("first", "x", 3)).await.unwrap();
    let (ctx, event) = second.next_with_context().await.unwrap().unwrap();
    assert_eq!((event.number, ctx.header("k")), (3, Some("v")));
    if let Some(client) = world.bus.nats() {
        let mut raw = client.subscribe("evt.market.trade.second.y").await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("traceparent", TRACE);
        let payload = trade("first", "y", 4).encode_to_vec().into();
        let subject = "evt.market.trade.first.y";
        client
            .publish_with_headers(subject, headers, payload)
            .await
            .unwrap();
        let headers = raw.next().await.unwrap().headers.unwrap();
        assert_eq!(headers.get("traceparent").unwrap().as_str(), TRACE);
    }
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
