//! An idle connection: the interval of its PINGs bounds how long it may be silent.

use std::time::{Duration, Instant};

use micro_runtime::{Bus, ConnectOptions, ConnectionState};
use micro_testkit::{Direction, NatsServer, Proxy};

use crate::until::until;

/// Makes the connection of a bus silent, and returns the time until it counts as lost.
async fn time_until_lost(bus: &Bus, proxy: &Proxy) -> Duration {
    proxy.ignore_new();
    let silent_since = Instant::now();
    proxy.hold(Direction::ToClient);
    until(|| bus.state() == ConnectionState::Disconnected).await;
    silent_since.elapsed()
}

/// By default it takes 11 s.
#[tokio::test]
async fn a_silent_connection_without_traffic_is_lost_by_its_ping_interval() {
    let nats = NatsServer::start().await.unwrap();
    let proxy = Proxy::start(nats.port()).await.unwrap();
    let options = ConnectOptions::new().ping_interval(Duration::from_millis(100));
    let bus = Bus::connect_with(options, proxy.url()).await.unwrap();
    let elapsed = time_until_lost(&bus, &proxy).await;
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
}

/// By messages to itself, since it sends no others: its PINGs alone would tell after 11 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_that_only_reads_is_lost_within_seconds() {
    let nats = NatsServer::start().await.unwrap();
    let proxy = Proxy::start(nats.port()).await.unwrap();
    let bus = Bus::connect(proxy.url()).await.unwrap();
    let others = Bus::connect(nats.url()).await.unwrap();
    let mut events = bus.subscribe_raw("evt.any").open().await.unwrap();
    for _ in 0..10 {
        others.publish_raw("evt.any", "x").await.unwrap();
        events.next().await.unwrap();
    }
    let elapsed = time_until_lost(&bus, &proxy).await;
    assert!(elapsed < Duration::from_secs(7), "{elapsed:?}");
}
