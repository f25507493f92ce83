//! Event handlers on a server: delivery, order, concurrency, counters and shutdown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::codegen::prost::Message as _;
use micro_runtime::event::EventStats;
use micro_runtime::{Bus, Context, RunningServer, Server, Status, Subscriber, Subscription};
use micro_runtime::{ErrorKind, service};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use micro_tests::market::{Trade, TradeFilter};
use micro_tests::overlapping::{Overlapping, OverlappingFilter};
use tokio::sync::Semaphore;

use super::gated_subscriber::{GatedSubscriber, gated_subscriber, next_number};
use super::trades::trade;
use crate::carriers::{Carrier, on_both_carriers};

on_both_carriers! {
    a_broadcast_reaches_every_subscriber_and_a_queue_group_one
    one_worker_keeps_the_order
    concurrent_handlers_are_bounded
    events_with_the_same_key_keep_their_order
    events_beyond_max_waiting_are_dropped_and_counted
    undecodable_events_are_counted_with_their_error
    failures_panics_and_timeouts_are_counted_with_their_error
    a_slow_handler_does_not_delay_other_subscribers
    a_shutdown_handles_every_event_that_arrived
    handlers_that_outlast_the_grace_period_are_dropped
    a_hundred_thousand_events_arrive
    event_subjects_that_overlap_calls_are_rejected
    a_handler_may_take_arc_self_and_continues_the_trace
}

async fn publish(bus: &Bus, symbol: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        bus.publish(&trade("v", symbol, number)).await.unwrap();
    }
}

async fn serve(
    bus: &Bus,
    subscriber: GatedSubscriber,
    subscription: Subscription<Trade>,
) -> RunningServer {
    let server = Server::new(bus).subscribe::<Trade>(subscriber, subscription);
    server.start().await.unwrap()
}

/// Waits until the counters of the server's first subscription meet a condition, and returns them.
pub(super) async fn wait_for_stats(
    server: &RunningServer,
    is_met: impl Fn(&EventStats) -> bool,
) -> EventStats {
    loop {
        let stats = server.events().remove(0);
        if is_met(&stats) {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(1)).await; // sleep: counters send no notification
    }
}

async fn a_broadcast_reaches_every_subscriber_and_a_queue_group_one(carrier: Carrier) {
    let mut servers = Vec::new();
    let (shared, mut by_queue) = gated_subscriber();
    let mut by_broadcast = Vec::new();
    for _ in 0..3 {
        let (own, handled) = gated_subscriber();
        by_broadcast.push(handled);
        let server = Server::new(&carrier.another_bus().await)
            .subscribe::<Trade>(shared.clone(), Subscription::queue("recorder"))
            .subscribe::<Trade>(Arc::new(own), Subscription::broadcast());
        servers.push(server.start().await.unwrap());
    }
    publish(&carrier.bus, "x", 0..300).await;
    for handled in &mut by_broadcast {
        for number in 0..300 {
            assert_eq!(next_number(handled).await, number);
        }
    }
    let mut numbers = Vec::new();
    for _ in 0..300 {
        numbers.push(next_number(&mut by_queue).await);
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

async fn one_worker_keeps_the_order(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let _server = serve(&carrier.bus, subscriber.clone(), Subscription::broadcast()).await;
    publish(&carrier.bus, "x", 0..2000).await;
    publish(&carrier.bus, "panic", 0..1).await;
    publish(&carrier.bus, "wait", 2000..2001).await;
    publish(&carrier.bus, "x", 2001..3000).await;
    subscriber.gate.add_permits(1);
    for number in 0..3000 {
        assert_eq!(next_number(&mut handled).await, number);
    }
    assert_eq!(subscriber.max_running.load(Ordering::SeqCst), 1);
}

async fn concurrent_handlers_are_bounded(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let subscription = Subscription::broadcast().max_concurrent(4);
    let server = serve(&carrier.bus, subscriber.clone(), subscription).await;
    publish(&carrier.bus, "wait", 0..20).await;
    wait_for_stats(&server, |stats| stats.received == 20).await;
    while subscriber.running.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    subscriber.gate.add_permits(20);
    for _ in 0..20 {
        next_number(&mut handled).await;
    }
    assert_eq!(subscriber.max_running.load(Ordering::SeqCst), 4);
}

async fn events_with_the_same_key_keep_their_order(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let subscription = Subscription::broadcast()
        .max_concurrent(8)
        .ordered_by(|trade: &Trade| trade.venue.clone());
    let _server = serve(&carrier.bus, subscriber, subscription).await;
    // Every 50th event has the same venue, which is the key.
    for number in 0..4000 {
        let venue = (number % 50).to_string();
        carrier
            .bus
            .publish(&trade(&venue, "x", number))
            .await
            .unwrap();
    }
    let mut last = std::collections::HashMap::new();
    for _ in 0..4000 {
        let (event, _) = handled.recv().await.unwrap();
        if let Some(before) = last.insert(event.venue.clone(), event.number) {
            assert!(before < event.number, "{event:?} after {before}");
        }
    }
}

async fn events_beyond_max_waiting_are_dropped_and_counted(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let subscription = Subscription::broadcast().max_waiting(10);
    let server = serve(&carrier.bus, subscriber.clone(), subscription).await;
    publish(&carrier.bus, "wait", 0..1).await;
    while subscriber.running.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    publish(&carrier.bus, "wait", 1..100).await;
    let stats = wait_for_stats(&server, |stats| stats.received == 100).await;
    assert_eq!(stats.dropped, 89);
    subscriber.gate.add_permits(11);
    for number in 0..11 {
        assert_eq!(next_number(&mut handled).await, number);
    }
    assert_eq!(
        wait_for_stats(&server, |stats| stats.handled == 11)
            .await
            .dropped,
        89
    );
}

async fn undecodable_events_are_counted_with_their_error(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let server = serve(&carrier.bus, subscriber, Subscription::broadcast()).await;
    let raw = |payload: &'static [u8]| carrier.bus.publish_raw("evt.market.trade.v.x", payload);
    raw(b"\xff\xff").await.unwrap();
    publish(&carrier.bus, "x", 1..2).await;
    assert_eq!(next_number(&mut handled).await, 1);
    let stats = wait_for_stats(&server, |stats| stats.handled == 1).await;
    assert_eq!((stats.received, stats.undecodable), (2, 1));
    let error = stats.last_error.unwrap().to_string();
    assert!(error.contains("is no market.v1.Trade"), "{error}");
}

async fn failures_panics_and_timeouts_are_counted_with_their_error(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let subscription = Subscription::broadcast().timeout(Duration::from_millis(20));
    let server = serve(&carrier.bus, subscriber, subscription).await;
    let cases = [
        ("fail", "NOT_FOUND: no such account"),
        ("panic", "a bad day"),
        ("wait", "did not end before the deadline"),
    ];
    for (number, (symbol, part)) in (1..).zip(cases) {
        publish(&carrier.bus, symbol, 0..1).await;
        let ended = |stats: &EventStats| stats.failed + stats.panicked == number;
        let stats = wait_for_stats(&server, ended).await;
        let error = stats.last_error.unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    publish(&carrier.bus, "x", 7..8).await;
    assert_eq!(next_number(&mut handled).await, 7);
    let stats = wait_for_stats(&server, |stats| stats.handled == 1).await;
    assert_eq!((stats.failed, stats.panicked), (2, 1));
}

async fn a_slow_handler_does_not_delay_other_subscribers(carrier: Carrier) {
    let (slow, _slow_handled) = gated_subscriber();
    let (fast, mut handled) = gated_subscriber();
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(slow.clone(), Subscription::broadcast())
        .subscribe::<Trade>(fast.clone(), Subscription::broadcast());
    let server = server.start().await.unwrap();
    fast.gate.add_permits(Semaphore::MAX_PERMITS >> 1);
    publish(&carrier.bus, "wait", 0..5000).await;
    for number in 0..5000 {
        assert_eq!(next_number(&mut handled).await, number);
    }
    let stats = server.events();
    assert_eq!((stats[0].handled, stats[0].dropped), (0, 0));
    slow.gate.add_permits(5000);
    server.shutdown().await.unwrap();
}

async fn a_shutdown_handles_every_event_that_arrived(carrier: Carrier) {
    for workers in [1, 8] {
        let (subscriber, mut handled) = gated_subscriber();
        let subscription = Subscription::queue("recorder").max_concurrent(workers);
        let bus = carrier.another_bus().await;
        let server = serve(&bus, subscriber, subscription).await;
        publish(&carrier.bus, "x", 0..5000).await;
        // Published on the connection of the events, the marker arrives after NATS has forwarded them.
        let mut marker = carrier
            .bus
            .subscribe_raw("evt.marker")
            .open()
            .await
            .unwrap();
        carrier.bus.publish_raw("evt.marker", "").await.unwrap();
        marker.next().await.unwrap();
        server.shutdown().await.unwrap();
        let mut count = 0;
        while handled.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 5000, "{workers} workers");
    }
}

async fn handlers_that_outlast_the_grace_period_are_dropped(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let server = Server::new(&carrier.bus)
        .subscribe::<Trade>(subscriber.clone(), Subscription::broadcast())
        .grace(Duration::from_millis(50));
    let server = server.start().await.unwrap();
    publish(&carrier.bus, "wait", 0..10).await;
    wait_for_stats(&server, |stats| stats.received == 10).await;
    server.shutdown().await.unwrap();
    assert!(handled.try_recv().is_err());
    drop(subscriber);
    assert!(handled.recv().await.is_none(), "a worker is left");
}

async fn a_hundred_thousand_events_arrive(carrier: Carrier) {
    let (subscriber, mut handled) = gated_subscriber();
    let subscription = Subscription::broadcast().max_waiting(100_000);
    let server = serve(&carrier.bus, subscriber, subscription).await;
    let publisher = carrier.another_bus().await;
    // At most 20,000 events ahead of the handler, which the buffers of NATS and async-nats can hold.
    for round in 0..100 {
        publish(&publisher, "x", round * 1000..(round + 1) * 1000).await;
        if round >= 20 {
            for number in (round - 20) * 1000..(round - 19) * 1000 {
                assert_eq!(next_number(&mut handled).await, number);
            }
        }
    }
    for number in 80_000..100_000 {
        assert_eq!(next_number(&mut handled).await, number);
    }
    let stats = wait_for_stats(&server, |stats| stats.handled == 100_000).await;
    assert_eq!((stats.received, stats.dropped), (100_000, 0));
}

async fn event_subjects_that_overlap_calls_are_rejected(carrier: Carrier) {
    struct IdleSubscriber;

    #[service]
    impl Subscriber<Overlapping> for IdleSubscriber {
        async fn on_event(&self, _: Context, _: Overlapping) -> Result<(), Status> {
            Ok(())
        }
    }

    let bus = carrier.bus.with_prefix("staging").unwrap();
    let server = |filter| {
        Server::new(&bus)
            .subscribe::<Overlapping>(IdleSubscriber, Subscription::broadcast().filter(filter))
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

async fn a_handler_may_take_arc_self_and_continues_the_trace(carrier: Carrier) {
    struct ForwardingSubscriber(Bus);

    #[service]
    impl Subscriber<Trade> for ForwardingSubscriber {
        async fn on_event(self: Arc<Self>, ctx: Context, event: Trade) -> Result<(), Status> {
            if event.venue == "first" {
                let next = trade("second", &event.symbol, event.number);
                self.0.publish(&next).within(&ctx).header("k", "v").await?;
            }
            Ok(())
        }
    }

    let server = Server::new(&carrier.bus).subscribe::<Trade>(
        ForwardingSubscriber(carrier.bus.clone()),
        Subscription::broadcast(),
    );
    let _server = server.start().await.unwrap();
    let filter = TradeFilter::new().venue("second");
    let mut second = carrier.bus.subscribe::<Trade>(filter).open().await.unwrap();
    carrier.bus.publish(&trade("first", "x", 3)).await.unwrap();
    let (ctx, event) = second.next_with_context().await.unwrap().unwrap();
    assert_eq!((event.number, ctx.header("k")), (3, Some("v")));
    if let Some(client) = carrier.bus.nats() {
        let mut raw = client.subscribe("evt.market.trade.second.y").await.unwrap();
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("traceparent", TRACEPARENT);
        let payload = trade("first", "y", 4).encode_to_vec().into();
        let subject = "evt.market.trade.first.y";
        client
            .publish_with_headers(subject, headers, payload)
            .await
            .unwrap();
        let headers = raw.next().await.unwrap().headers.unwrap();
        assert_eq!(headers.get("traceparent").unwrap().as_str(), TRACEPARENT);
    }
}

/// A W3C trace context.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
