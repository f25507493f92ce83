//! No event is lost or recorded twice while recorders, feeds and servers are killed.

use std::time::{Duration, Instant};

use micro_runtime::Bus;
use micro_testkit::{NatsCluster, NatsServer, within};

use crate::fixture::{MarketFixture, PROCESS_TIMEOUT, TEST_TIMEOUT};

/// Events a second of each of the two feeds.
const RATE: u32 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_when_recorder_and_python_are_killed() {
    within(TEST_TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let market = MarketFixture::new(nats.url(), 1);
        let feeds = market.start_feeds(RATE).await;
        for _ in 0..3 {
            let (mut recorder, mut python) =
                (market.start_recorder().await, market.start_python().await);
            market
                .wait_for_published(market.acknowledged() + 1_000)
                .await;
            recorder.kill().unwrap();
            python.kill().unwrap();
        }
        let _parts = (market.start_recorder().await, market.start_python().await);
        market.stop_feeds(feeds).await;
        let audit = market.wait_until_recorded().await;
        market.wait_for_python(audit.recorded).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_when_one_of_three_recorders_is_killed() {
    within(TEST_TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let market = MarketFixture::new(nats.url(), 1);
        let mut killed = market.start_recorder().await;
        let _others = (market.start_recorder().await, market.start_recorder().await);
        let feeds = market.start_feeds(RATE).await;
        market.wait_for_published(2_000).await;
        killed.kill().unwrap();
        market.wait_for_published(4_000).await;
        market.stop_feeds(feeds).await;
        market.wait_until_recorded().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_duplicated_when_the_feeds_are_killed() {
    within(TEST_TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let market = MarketFixture::new(nats.url(), 1);
        let _recorder = market.start_recorder().await;
        for round in 1..=2 {
            let feeds = market.start_feeds(RATE).await;
            market.wait_for_published(round * 1_000).await;
            for mut feed in feeds {
                feed.kill().unwrap();
            }
        }
        // Events that were in flight are stored, but in no ledger: they are published again, and the
        // stream drops the copies by their ids.
        let feeds = market.start_feeds(RATE).await;
        market.wait_for_published(3_000).await;
        for mut feed in feeds {
            feed.terminate().unwrap();
            assert!(
                feed.wait(PROCESS_TIMEOUT).await.unwrap().success(),
                "{}",
                feed.output()
            );
        }
        market.wait_until_recorded().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_while_the_server_is_down_for_five_seconds() {
    within(TEST_TIMEOUT, async {
        let mut nats = NatsServer::builder().jetstream().start().await.unwrap();
        let market = MarketFixture::new(nats.url(), 1);
        let _parts = (market.start_recorder().await, market.start_python().await);
        let feeds = market.start_feeds(RATE).await;
        market.wait_for_published(2_000).await;
        nats.kill().unwrap();
        // sleep: how long the server is away.
        tokio::time::sleep(Duration::from_secs(5)).await;
        nats.restart().await.unwrap();
        market
            .wait_for_published(market.acknowledged() + 4_000)
            .await;
        market.stop_feeds(feeds).await;
        let audit = market.wait_until_recorded().await;
        market.wait_for_python(audit.recorded).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow market-cluster"]
async fn no_event_is_lost_when_the_leader_of_a_cluster_is_killed() {
    within(4 * TEST_TIMEOUT, async {
        let mut cluster = NatsCluster::start().await.unwrap();
        let market = MarketFixture::new(cluster.url(), 3);
        let _recorders = (market.start_recorder().await, market.start_recorder().await);
        let _python = market.start_python().await;
        let feeds = market.start_feeds(RATE).await;
        let bus = Bus::connect(cluster.url()).await.unwrap();
        for round in 1..=3 {
            market
                .wait_for_published(market.acknowledged() + 3_000)
                .await;
            let leader = leader(&bus).await;
            let (before, began) = (market.acknowledged(), Instant::now());
            cluster.server(&leader).unwrap().kill().unwrap();
            market.wait_for_published(before + 4_000).await;
            let took = began.elapsed();
            cluster.server(&leader).unwrap().restart().await.unwrap();
            wait_for_replicas(&bus).await;
            println!("round {round}: {leader} was killed, the next 4,000 events took {took:?}");
        }
        market.stop_feeds(feeds).await;
        let audit = market.wait_until_recorded().await;
        market.wait_for_python(audit.recorded).await;
    })
    .await;
}

/// Returns the name of the server that leads the stream.
async fn leader(bus: &Bus) -> String {
    within(TEST_TIMEOUT, async {
        loop {
            if let Some(leader) = cluster(bus).await.and_then(|cluster| cluster.leader) {
                return leader;
            }
        }
    })
    .await
}

/// Waits until the restarted server has caught up.
async fn wait_for_replicas(bus: &Bus) {
    loop {
        let replicas = cluster(bus).await.map(|cluster| cluster.replicas);
        let replicas = replicas.unwrap_or_default();
        if replicas
            .iter()
            .filter(|peer| peer.current && !peer.offline)
            .count()
            == 2
        {
            return;
        }
        // sleep: between two looks; the servers send no event when a replica is current.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn cluster(bus: &Bus) -> Option<micro_runtime::async_nats::jetstream::stream::ClusterInfo> {
    let jetstream = micro_runtime::async_nats::jetstream::new(bus.nats().unwrap().clone());
    let stream = jetstream
        .get_stream(market::stream::STREAM_NAME)
        .await
        .ok()?;
    stream.cached_info().cluster.clone()
}
