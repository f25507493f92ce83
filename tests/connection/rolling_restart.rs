//! A rolling restart of a cluster: each server in turn enters lame duck mode and is started again, under load.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use micro_runtime::Bus;
use micro_testkit::{NatsCluster, within};

use crate::load::{CallKind, CallLedger, Load, Mix, Plan};

/// Number of rounds, in each of which every server restarts once.
const ROUNDS: usize = 10;
/// Limit for one round.
const ROUND_LIMIT: Duration = Duration::from_secs(120);
/// 30 s is the minimum that NATS allows. A server ends sooner, once its clients have gone.
const LAME_DUCK: &str = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"3s\"";
/// Limit for a server to end.
const END_LIMIT: Duration = Duration::from_secs(60);
/// The 64 callers. All of them wait for the connection.
const MIX: Mix = &[(CallKind::Waiting, 64)];
const PLAN: Plan = Plan {
    mix: MIX,
    streams_wait: true,
    replicas: 3,
};

/// The short form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "second tier: cargo xtask test --slow one-restart"]
async fn one_round_fails_no_call_and_loses_no_event() {
    expect_nothing_lost(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow rolling-restart"]
async fn ten_rounds_fail_no_call_and_lose_no_event() {
    expect_nothing_lost(ROUNDS).await;
}

async fn expect_nothing_lost(rounds: usize) {
    let mut cluster = NatsCluster::start_with(LAME_DUCK).await.unwrap();
    let observer = Bus::connect(cluster.url()).await.unwrap();
    let caller = Bus::connect(cluster.url()).await.unwrap();
    let service = Bus::connect(cluster.url()).await.unwrap();
    let ledger = Arc::new(CallLedger::default());
    let load = Load::start(&caller, &service, &ledger, PLAN).await;
    for round in 1..=rounds {
        let begun = Instant::now();
        for name in ["n1", "n2", "n3"] {
            within(ROUND_LIMIT, restart(&mut cluster, name, &observer)).await;
        }
        let counts = load.counts();
        println!(
            "round {round}: {:?}, {} calls, failed: {}; streams ended: {}",
            begun.elapsed(),
            counts.unary.own(),
            counts.unary.failures,
            counts.streams.endings,
        );
    }
    load.reset_progress();
    load.recovery(Instant::now()).await;
    let figures = load.stop().await;
    println!("{}", figures.report());
    let counts = &figures.counts;
    let mut flaws = String::new();
    for flaw in figures.flaws() {
        let _ = writeln!(flaws, "{flaw}");
    }
    for (what, failures) in [
        ("calls", &counts.unary.failures),
        ("durable publishes", &counts.durable.failures),
    ] {
        if failures.count() > 0 {
            let _ = writeln!(flaws, "{what} failed: {failures}");
        }
    }
    let (received, published) = (counts.events.received(), counts.events.published());
    if received < published {
        let _ = writeln!(flaws, "{received} of {published} core events came");
    }
    assert!(flaws.is_empty(), "\n{flaws}");
}

/// Restarts a server as an operator does; returns once the cluster is whole again.
async fn restart(cluster: &mut NatsCluster, name: &str, observer: &Bus) {
    let server = cluster.server(name).unwrap();
    server.enter_lame_duck_mode().unwrap();
    server.wait_until_ended(END_LIMIT).await.unwrap();
    server.restart().await.unwrap();
    while !is_whole(observer).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(200)).await; // sleep: polling interval; NATS sends no notification
    }
}

/// Returns whether the stream and its consumer have a leader and two followers that are current.
async fn is_whole(bus: &Bus) -> Option<bool> {
    let jetstream = jetstream::new(bus.nats()?);
    let mut stream = jetstream.get_stream("MARKET").await.ok()?;
    let of_stream = stream.info().await.ok()?.cluster.clone()?;
    let consumer = stream.consumer_info("load").await.ok()?;
    let are_current = |cluster: &jetstream::stream::ClusterInfo| {
        let followers = cluster.replicas.iter();
        let current = followers.filter(|follower| follower.current && !follower.offline);
        cluster.leader.is_some() && current.count() == 2
    };
    Some(are_current(&of_stream) && consumer.cluster.as_ref().is_some_and(are_current))
}
