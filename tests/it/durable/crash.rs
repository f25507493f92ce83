//! Nothing lost, nothing twice: recorders and servers that are killed under load.

use std::time::Duration;

use micro_runtime::{Bus, EventStream};
use micro_testkit::{NatsCluster, within};

use super::load::{Load, Record};
use super::{LIMIT, market, stored};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_is_killed_loses_nothing_and_doubles_nothing() {
    within(LIMIT, async {
        let (nats, bus) = market().await;
        let record = Record::new();
        let load = Load::start(&bus);
        for round in 1..=3 {
            let mut recorder = record.recorder(&nats.url(), "one").await;
            load.wait_for(1_000 * round).await;
            recorder.kill().unwrap();
        }
        let (acknowledged, _) = load.stop().await;
        let _recorder = record.recorder(&nats.url(), "one").await;
        record.settles(&acknowledged).await;
        assert_eq!(stored(&bus).await, acknowledged.len() as u64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_recorders_share_the_work_and_one_may_die() {
    within(LIMIT, async {
        let (nats, bus) = market().await;
        let record = Record::new();
        let mut recorders = Vec::new();
        for name in ["one", "two", "three"] {
            recorders.push(record.recorder(&nats.url(), name).await);
        }
        let load = Load::start(&bus);
        load.wait_for(2_000).await;
        recorders[0].kill().unwrap();
        load.wait_for(4_000).await;
        let (acknowledged, _) = load.stop().await;
        record.settles(&acknowledged).await;
        for name in ["one", "two", "three"] {
            let lines = record.lines(name);
            assert!(lines > 100, "recorder {name} got only {lines}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_for_five_seconds_loses_nothing_and_doubles_nothing() {
    within(2 * LIMIT, async {
        let (mut nats, bus) = market().await;
        let record = Record::new();
        let _recorders = (
            record.recorder(&nats.url(), "one").await,
            record.recorder(&nats.url(), "two").await,
        );
        let load = Load::start(&bus);
        load.wait_for(2_000).await;
        nats.kill().unwrap();
        // sleep: how long the server is away.
        tokio::time::sleep(Duration::from_secs(5)).await;
        nats.restart().await.unwrap();
        let before = load.acknowledged();
        load.wait_for(before + 2_000).await;
        let (acknowledged, longest) = load.stop().await;
        assert!(
            longest >= Duration::from_secs(4),
            "nobody noticed: {longest:?}"
        );
        record.settles(&acknowledged).await;
        assert_eq!(stored(&bus).await, acknowledged.len() as u64);
    })
    .await;
}

/// Run with `cargo xtask test --slow`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_leader_is_killed_under_load_loses_nothing_and_doubles_nothing() {
    if std::env::var_os("MICRO_SLOW").is_none() {
        return;
    }
    within(4 * LIMIT, async {
        let mut cluster = NatsCluster::start().await.unwrap();
        let bus = Bus::connect(cluster.url()).await.unwrap();
        let stream = EventStream::named("MARKET")
            .subject("evt.market.>")
            .replicas(3);
        while let Err(error) = bus.declare(&stream).await {
            println!("not yet: {error}");
            // sleep: between two tries; a cluster needs a moment to elect who leads.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let record = Record::new();
        let _recorders = (
            record.recorder(&cluster.url(), "one").await,
            record.recorder(&cluster.url(), "two").await,
        );
        let load = Load::start(&bus);
        for round in 1..=3 {
            load.wait_for(load.acknowledged() + 2_000).await;
            let leader = leader(&bus).await;
            let before = load.acknowledged();
            cluster.server(&leader).unwrap().kill().unwrap();
            load.wait_for(before + 4_000).await;
            cluster.server(&leader).unwrap().restart().await.unwrap();
            wait_for_replicas(&bus).await;
            println!(
                "round {round}: {leader} was killed, {} acknowledged",
                load.acknowledged()
            );
        }
        let (acknowledged, longest) = load.stop().await;
        let account = record.settles(&acknowledged).await;
        assert_eq!(stored(&bus).await, acknowledged.len() as u64);
        println!(
            "acknowledged {} recorded {} (lines {}), longest wait {longest:?}",
            acknowledged.len(),
            acknowledged.len(),
            account.lines
        );
    })
    .await;
}

/// The server that leads the stream.
async fn leader(bus: &Bus) -> String {
    loop {
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        if let Ok(stream) = jetstream.get_stream("MARKET").await {
            let cluster = stream.cached_info().cluster.clone();
            if let Some(leader) = cluster.and_then(|cluster| cluster.leader) {
                return leader;
            }
        }
    }
}

/// Waits until every copy is complete.
async fn wait_for_replicas(bus: &Bus) {
    loop {
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        if let Ok(stream) = jetstream.get_stream("MARKET").await {
            let cluster = stream.cached_info().cluster.clone().unwrap();
            let current = cluster
                .replicas
                .iter()
                .filter(|peer| peer.current && !peer.offline);
            if current.count() == 2 {
                return;
            }
        }
        // sleep: between two looks; the servers tell nobody that a copy is complete.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
