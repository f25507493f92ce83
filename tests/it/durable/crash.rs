//! Consumers and nats-servers killed under load: no acknowledged event is lost or stored twice.

use std::time::Duration;

use micro_runtime::Bus;
use micro_runtime::jetstream::EventStream;
use micro_testkit::{NatsCluster, within};

use super::market::{TIMEOUT, start_market, stored_events};
use super::publish_load::PublishLoad;
use super::recorder_files::RecorderFiles;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_consumer_loses_and_duplicates_no_event() {
    within(TIMEOUT, async {
        let (nats, bus) = start_market().await;
        let recorders = RecorderFiles::new();
        let load = PublishLoad::start(&bus);
        for round in 1..=3 {
            let mut recorder = recorders.start_recorder(&nats.url(), "one").await;
            load.wait_for(1_000 * round).await;
            recorder.kill().unwrap();
        }
        let (acknowledged, _) = load.stop().await;
        let _recorder = recorders.start_recorder(&nats.url(), "one").await;
        recorders.expect_recorded_once(&acknowledged).await;
        assert_eq!(stored_events(&bus).await, acknowledged.len() as u64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_consumers_share_the_events_and_one_may_be_killed() {
    within(TIMEOUT, async {
        let (nats, bus) = start_market().await;
        let recorders = RecorderFiles::new();
        let mut processes = Vec::new();
        for name in ["one", "two", "three"] {
            processes.push(recorders.start_recorder(&nats.url(), name).await);
        }
        let load = PublishLoad::start(&bus);
        load.wait_for(2_000).await;
        processes[0].kill().unwrap();
        load.wait_for(4_000).await;
        let (acknowledged, _) = load.stop().await;
        recorders.expect_recorded_once(&acknowledged).await;
        for name in ["one", "two", "three"] {
            let lines = recorders.lines(name);
            assert!(lines > 100, "recorder {name} got only {lines}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_that_is_down_for_five_seconds_loses_and_duplicates_no_event() {
    within(2 * TIMEOUT, async {
        let (mut nats, bus) = start_market().await;
        let recorders = RecorderFiles::new();
        let _processes = (
            recorders.start_recorder(&nats.url(), "one").await,
            recorders.start_recorder(&nats.url(), "two").await,
        );
        let load = PublishLoad::start(&bus);
        load.wait_for(2_000).await;
        nats.kill().unwrap();
        // sleep: the time without a nats-server.
        tokio::time::sleep(Duration::from_secs(5)).await;
        nats.restart().await.unwrap();
        let before = load.acknowledged();
        load.wait_for(before + 2_000).await;
        let (acknowledged, longest) = load.stop().await;
        assert!(
            longest >= Duration::from_secs(4),
            "no publisher waited: {longest:?}"
        );
        recorders.expect_recorded_once(&acknowledged).await;
        assert_eq!(stored_events(&bus).await, acknowledged.len() as u64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: cargo xtask test --slow durable-cluster"]
async fn a_cluster_whose_leaders_are_killed_loses_and_duplicates_no_event() {
    within(4 * TIMEOUT, async {
        let mut cluster = NatsCluster::start().await.unwrap();
        let bus = Bus::connect(cluster.url()).await.unwrap();
        let stream = EventStream::named("MARKET")
            .subject("evt.market.>")
            .replicas(3);
        while let Err(error) = bus.declare(&stream).await {
            println!("not yet: {error}");
            // sleep: interval between two attempts, until the cluster has elected a leader.
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let recorders = RecorderFiles::new();
        let _processes = (
            recorders.start_recorder(&cluster.url(), "one").await,
            recorders.start_recorder(&cluster.url(), "two").await,
        );
        let load = PublishLoad::start(&bus);
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
        let recorded = recorders.expect_recorded_once(&acknowledged).await;
        assert_eq!(stored_events(&bus).await, acknowledged.len() as u64);
        println!(
            "acknowledged {} recorded {} (lines {}), longest wait {longest:?}",
            acknowledged.len(),
            acknowledged.len(),
            recorded.lines
        );
    })
    .await;
}

/// Returns the name of the server that leads the stream.
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

/// Waits until both followers of the stream are current.
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
        // sleep: polling interval; the servers send no notification of this.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
