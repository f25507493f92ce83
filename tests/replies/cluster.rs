//! Calls and durable publishes through a cluster whose leader, the caller's own server, is killed ten times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::stream::ClusterInfo;
use micro_runtime::jetstream::EventStream;
use micro_runtime::{Bus, Code, Server};
use micro_testkit::NatsCluster;
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use micro_tests::market::Trade;

use crate::figures::Figures;
use crate::workload::{Failure, LOADS};

/// Number of kills during each load.
const KILLS: [usize; 3] = [4, 2, 4];
/// Time after a kill in which calls may fail.
const FAILING: Duration = Duration::from_secs(2);
/// Name of the stream with three replicas.
const STREAM: &str = "MARKET";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow replies"]
async fn a_cluster_whose_leader_is_killed_ten_times() {
    let mut cluster = NatsCluster::start().await.unwrap();
    let caller = Bus::connect(cluster.url()).await.unwrap();
    declare_stream(&caller).await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let bus = Bus::connect(cluster.url()).await.unwrap();
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        servers.push(server.start().await.unwrap());
    }
    let publisher = Publisher::start(&caller);
    let mut figures = Figures::new("a leader killed ten times");
    let mut killed_at = Vec::new();
    for (load, kills) in LOADS.into_iter().zip(KILLS) {
        let all_killed = Arc::new(AtomicBool::new(false));
        let may_end = {
            let all_killed = Arc::clone(&all_killed);
            move || all_killed.load(Ordering::Relaxed)
        };
        let killing = async {
            for _ in 0..kills {
                killed_at.push(kill_leader(&mut cluster, &caller).await);
            }
            all_killed.store(true, Ordering::Relaxed);
        };
        let (outcome, ()) = tokio::join!(load.run(&caller, may_end), killing);
        figures.add(outcome);
    }
    let published = publisher.stop().await;
    wait_for_followers(&caller).await;
    let stored = stream_info(&caller).await.unwrap().state.messages;
    let late = count_late(&figures, &killed_at);
    figures.note(&format!(
        "{} kills, {late} calls failed that were not in flight within {FAILING:?} after one; \
         {published} durable events published beside them, {stored} stored",
        killed_at.len()
    ));
    figures.print();
    for outcome in figures.outcomes() {
        assert_eq!(outcome.wrong, 0);
        let expected =
            outcome.failed_with(Code::Unavailable) + outcome.failed_with(Code::DeadlineExceeded);
        assert_eq!(expected, outcome.failures.len(), "another code");
        assert!(outcome.own >= outcome.calls / 2, "most calls succeed");
    }
    assert_eq!(late, 0, "calls failed long after a kill");
    assert_eq!(stored, published);
}

/// Returns the number of failed calls that were not in flight within the allowed time after any kill; prints some.
fn count_late(figures: &Figures, killed_at: &[Instant]) -> usize {
    let is_excused = |failure: &Failure| {
        let mut kills = killed_at.iter();
        kills.any(|kill| failure.ended >= *kill && failure.began <= *kill + FAILING)
    };
    let failures = figures
        .outcomes()
        .iter()
        .flat_map(|outcome| &outcome.failures);
    let late: Vec<&Failure> = failures.filter(|failure| !is_excused(failure)).collect();
    for failure in late.iter().take(10) {
        let before = killed_at.iter().rev().find(|kill| **kill <= failure.began);
        let since = before.map(|kill| failure.began - *kill);
        println!(
            "  began {since:?} after the kill before: {}",
            failure.status
        );
    }
    late.len()
}

/// Makes the caller's own server the leader of the stream, kills it, and returns when; the server is started again
/// once the time is over in which calls may fail.
async fn kill_leader(cluster: &mut NatsCluster, caller: &Bus) -> Instant {
    let own = lead_from_own_server(caller).await;
    let killed_at = Instant::now();
    cluster.server(&own).unwrap().kill().unwrap();
    // sleep: the calls of this time are what the test is about.
    tokio::time::sleep(FAILING + Duration::from_millis(500)).await;
    cluster.server(&own).unwrap().restart().await.unwrap();
    wait_for_followers(caller).await;
    killed_at
}

/// Moves the leader of the stream to the server of the caller's connection, and returns its name.
async fn lead_from_own_server(caller: &Bus) -> String {
    loop {
        let nats = caller.nats().unwrap();
        let own = nats.server_info().server_name;
        let leader = stream_info(caller)
            .await
            .and_then(|info| info.cluster?.leader);
        if leader.as_ref() == Some(&own) {
            return own;
        }
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{STREAM}");
        let request = format!("{{\"placement\":{{\"preferred\":\"{own}\"}}}}");
        // While another election runs it fails, and the next round asks again.
        let _ = nats.request(subject, request.into()).await;
        // sleep: polling interval; an election sends no notification.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn declare_stream(bus: &Bus) {
    let stream = EventStream::named(STREAM)
        .subject("evt.market.>")
        .replicas(3);
    while bus.declare(&stream).await.is_err() {
        // sleep: interval between two attempts, until the cluster has elected a leader.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn stream_info(bus: &Bus) -> Option<jetstream::stream::Info> {
    let jetstream = jetstream::new(bus.nats()?.clone());
    let stream = jetstream.get_stream(STREAM).await.ok()?;
    Some(stream.cached_info().clone())
}

/// Waits until both followers of the stream are current.
async fn wait_for_followers(bus: &Bus) {
    let are_current = |cluster: ClusterInfo| {
        let followers = cluster.replicas.iter();
        let current = followers.filter(|follower| follower.current && !follower.offline);
        current.count() == 2
    };
    loop {
        let cluster = stream_info(bus).await.and_then(|info| info.cluster);
        if cluster.is_some_and(are_current) {
            return;
        }
        // sleep: polling interval; the servers send no notification of this.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Publishes durable events, one after another, until it is stopped.
struct Publisher {
    stop: Arc<AtomicBool>,
    published: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Publisher {
    fn start(bus: &Bus) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let published = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let (bus, stop, published) = (bus.clone(), Arc::clone(&stop), Arc::clone(&published));
            async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let trade = Trade {
                        venue: "sim".to_owned(),
                        symbol: "S".to_owned(),
                        price: 1.5,
                        number,
                    };
                    let id = format!("sim:{number}");
                    bus.publish_durable(&trade).id(id).await.unwrap();
                    published.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            stop,
            published,
            task,
        }
    }

    /// Stops it, and returns the number of events that were acknowledged.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.published.load(Ordering::Relaxed) as u64
    }
}
