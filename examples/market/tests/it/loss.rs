//! Nothing lost, nothing twice: recorders and servers that die while the feeds go on.

use std::time::{Duration, Instant};

use micro_runtime::Bus;
use micro_testkit::{NatsCluster, NatsServer, within};

use crate::world::{LIMIT, PATIENCE, World};

/// Events a second of each of the two feeds.
const RATE: u32 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_and_python_are_killed_in_mid_stream() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let world = World::new(nats.url(), 1);
        let feeds = world.feeds(RATE).await;
        for _ in 0..3 {
            let (mut recorder, mut python) = (world.recorder().await, world.python().await);
            world.published(world.acknowledged() + 1_000).await;
            recorder.kill().unwrap();
            python.kill().unwrap();
        }
        let _parts = (world.recorder().await, world.python().await);
        world.stop(feeds).await;
        let account = world.settles().await;
        world.python_sees(account.recorded).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_recorders_share_and_one_is_killed() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let world = World::new(nats.url(), 1);
        let mut doomed = world.recorder().await;
        let _others = (world.recorder().await, world.recorder().await);
        let feeds = world.feeds(RATE).await;
        world.published(2_000).await;
        doomed.kill().unwrap();
        world.published(4_000).await;
        world.stop(feeds).await;
        world.settles().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feeds_are_killed() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let world = World::new(nats.url(), 1);
        let _recorder = world.recorder().await;
        for round in 1..=2 {
            let feeds = world.feeds(RATE).await;
            world.published(round * 1_000).await;
            for mut feed in feeds {
                feed.kill().unwrap();
            }
        }
        // What they had in flight is stored and in no ledger; it is sent again and told by its id.
        let feeds = world.feeds(RATE).await;
        world.published(3_000).await;
        for mut feed in feeds {
            feed.terminate().unwrap();
            assert!(
                feed.wait(PATIENCE).await.unwrap().success(),
                "{}",
                feed.output()
            );
        }
        world.settles().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_for_five_seconds() {
    within(LIMIT, async {
        let mut nats = NatsServer::builder().jetstream().start().await.unwrap();
        let world = World::new(nats.url(), 1);
        let _parts = (world.recorder().await, world.python().await);
        let feeds = world.feeds(RATE).await;
        world.published(2_000).await;
        nats.kill().unwrap();
        // sleep: how long the server is away.
        tokio::time::sleep(Duration::from_secs(5)).await;
        nats.restart().await.unwrap();
        world.published(world.acknowledged() + 4_000).await;
        world.stop(feeds).await;
        let account = world.settles().await;
        world.python_sees(account.recorded).await;
    })
    .await;
}

/// Run with `cargo xtask test --slow`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_a_cluster_is_killed_under_load() {
    if std::env::var_os("MICRO_SLOW").is_none() {
        return;
    }
    within(4 * LIMIT, async {
        let mut cluster = NatsCluster::start().await.unwrap();
        let world = World::new(cluster.url(), 3);
        let _recorders = (world.recorder().await, world.recorder().await);
        let _python = world.python().await;
        let feeds = world.feeds(RATE).await;
        let bus = Bus::connect(cluster.url()).await.unwrap();
        for round in 1..=3 {
            world.published(world.acknowledged() + 3_000).await;
            let leader = leader(&bus).await;
            let (before, began) = (world.acknowledged(), Instant::now());
            cluster.server(&leader).unwrap().kill().unwrap();
            world.published(before + 4_000).await;
            let took = began.elapsed();
            cluster.server(&leader).unwrap().restart().await.unwrap();
            copies_are_whole(&bus).await;
            println!("round {round}: {leader} was killed, the next 4,000 events took {took:?}");
        }
        world.stop(feeds).await;
        let account = world.settles().await;
        world.python_sees(account.recorded).await;
    })
    .await;
}

/// The server that leads the stream.
async fn leader(bus: &Bus) -> String {
    within(LIMIT, async {
        loop {
            if let Some(leader) = cluster(bus).await.and_then(|cluster| cluster.leader) {
                return leader;
            }
        }
    })
    .await
}

/// Waits until the server that came back has caught up.
async fn copies_are_whole(bus: &Bus) {
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
        // sleep: between two looks; the servers tell nobody that a copy is whole.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn cluster(bus: &Bus) -> Option<micro_runtime::async_nats::jetstream::stream::ClusterInfo> {
    let jetstream = micro_runtime::async_nats::jetstream::new(bus.nats().unwrap().clone());
    let stream = jetstream.get_stream(market::market::STREAM).await.ok()?;
    stream.cached_info().cluster.clone()
}
