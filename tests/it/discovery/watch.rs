//! `watch`: instances that come, go, die and hang, each noticed within the time that is stated.

use std::time::{Duration, Instant};

use micro_runtime::discovery::{Change, Departure, Watch};
use micro_runtime::{Bus, Server};
use micro_testkit::{NatsServer, Process, within};

use super::made::{OneGreeter, OtherGreeter};
use crate::carriers::{Carrier, on_both_carriers};
use crate::crash::server_process;

const INTERVAL: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_millis(300);
/// The stall time of a ping.
const STALL: Duration = Duration::from_millis(300);
/// For a machine that does other things too.
const SLACK: Duration = Duration::from_millis(300);

on_both_carriers! {
    who_starts_and_stops_says_so_at_once
    one_service_can_be_watched
    a_server_that_is_dropped_leaves
    nobody_speaks_for_another
}

async fn watch(bus: &Bus) -> Watch {
    let watch = bus.discovery().watch().interval(INTERVAL);
    watch.patience(PATIENCE).start().await.unwrap()
}

async fn change(watch: &mut Watch) -> Change {
    within(Duration::from_secs(20), watch.change())
        .await
        .unwrap()
}

async fn who_starts_and_stops_says_so_at_once(carrier: Carrier) {
    let first = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    // An interval that no test waits for: what comes now was said, not found.
    let discovery = carrier.another_bus().await.discovery();
    let hour = Duration::from_secs(3600);
    let mut watch = discovery.watch().interval(hour).start().await.unwrap();
    let there = change(&mut watch).await;
    assert_eq!(there.instance().id, first.instances()[0]);
    let second = Server::new(&carrier.bus)
        .add(OtherGreeter)
        .start()
        .await
        .unwrap();
    let begun = Instant::now();
    let came = change(&mut watch).await;
    assert!(
        matches!(&came, Change::Came(one) if one.name == "other-v1-Greeter"),
        "{came:?}"
    );
    assert_eq!(
        came.instance().metadata["micro.service"],
        "other.v1.Greeter"
    );
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    let begun = Instant::now();
    second.shutdown().await.unwrap();
    let left = change(&mut watch).await;
    assert_eq!(
        left,
        Change::Left(came.instance().clone(), Departure::Stopped)
    );
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    first.shutdown().await.unwrap();
    let left = change(&mut watch).await;
    assert!(
        matches!(left, Change::Left(_, Departure::Stopped)),
        "{left:?}"
    );
}

async fn one_service_can_be_watched(carrier: Carrier) {
    let discovery = carrier.bus.discovery();
    let watch = discovery.watch().of("one.v1.Greeter").interval(INTERVAL);
    let mut watch = watch.start().await.unwrap();
    let _other = Server::new(&carrier.bus)
        .add(OtherGreeter)
        .start()
        .await
        .unwrap();
    let one = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    assert_eq!(change(&mut watch).await.instance().id, one.instances()[0]);
}

async fn a_server_that_is_dropped_leaves(carrier: Carrier) {
    let server = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    let mut watch = watch(&carrier.bus).await;
    assert!(matches!(change(&mut watch).await, Change::Came(_)));
    drop(server);
    let begun = Instant::now();
    let left = change(&mut watch).await;
    assert!(matches!(left, Change::Left(_, Departure::Died)), "{left:?}");
    assert!(
        begun.elapsed() < INTERVAL + STALL + SLACK,
        "{:?}",
        begun.elapsed()
    );
}

async fn nobody_speaks_for_another(carrier: Carrier) {
    let server = Server::new(&carrier.bus)
        .add(OneGreeter)
        .start()
        .await
        .unwrap();
    let Some(hand) = super::hand(&carrier).await else {
        return;
    };
    let mut watch = watch(&carrier.bus).await;
    assert!(matches!(change(&mut watch).await, Change::Came(_)));
    let id = &server.instances()[0];
    let said = format!(
        r#"{{"type":"micro.v1.instance_stopping","name":"one-v1-Greeter","id":"{id}","version":"1.0.0"}}"#
    );
    let forged = hand.publish("$SRV._EVENT.mine.1", said.clone().into());
    forged.await.unwrap();
    let nonsense = hand.publish(format!("$SRV._EVENT.one-v1-Greeter.{id}"), "x".into());
    nonsense.await.unwrap();
    let quiet = tokio::time::timeout(INTERVAL + STALL, watch.change()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let own = hand.publish(format!("$SRV._EVENT.one-v1-Greeter.{id}"), said.into());
    own.await.unwrap();
    let left = change(&mut watch).await;
    assert!(
        matches!(left, Change::Left(_, Departure::Stopped)),
        "{left:?}"
    );
    // It lives on: the next ping finds it again.
    assert!(matches!(change(&mut watch).await, Change::Came(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_within_the_stated_time() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let mut watch = watch(&bus).await;
    let mut process = server_process(&nats).await;
    let _other = Server::new(&bus).add(OneGreeter).start().await.unwrap();
    for _ in 0..2 {
        assert!(matches!(change(&mut watch).await, Change::Came(_)));
    }
    process.kill().unwrap();
    let begun = Instant::now();
    let left = change(&mut watch).await;
    assert!(
        matches!(&left, Change::Left(one, Departure::Died) if one.name == "behavior-v1-Behavior"),
        "{left:?}"
    );
    assert!(
        begun.elapsed() < INTERVAL + STALL + SLACK,
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_hangs_is_silent_and_may_come_back() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let mut watch = watch(&bus).await;
    let process = server_process(&nats).await;
    let came = change(&mut watch).await;
    signal(&process, "-STOP");
    let begun = Instant::now();
    let silent = change(&mut watch).await;
    assert_eq!(silent, Change::Silent(came.instance().clone()));
    // Alone, nobody's answer ends the ping: it takes its whole wait.
    let stated = INTERVAL + PATIENCE.max(STALL) + PATIENCE;
    assert!(begun.elapsed() < stated + SLACK, "{:?}", begun.elapsed());
    signal(&process, "-CONT");
    let back = change(&mut watch).await;
    assert_eq!(back, Change::Back(came.instance().clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_for_too_long_is_lost() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let process = server_process(&nats).await;
    let watch = bus
        .discovery()
        .watch()
        .interval(INTERVAL)
        .patience(PATIENCE);
    let watch = watch.forget_after(Duration::from_secs(2));
    let mut watch = watch.start().await.unwrap();
    assert!(matches!(change(&mut watch).await, Change::Came(_)));
    signal(&process, "-STOP");
    assert!(matches!(change(&mut watch).await, Change::Silent(_)));
    let lost = change(&mut watch).await;
    assert!(matches!(lost, Change::Left(_, Departure::Lost)), "{lost:?}");
    signal(&process, "-CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_away_says_nothing_about_the_instances() {
    let mut nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let _server = Server::new(&bus).add(OneGreeter).start().await.unwrap();
    let mut watch = watch(&bus).await;
    assert!(matches!(change(&mut watch).await, Change::Came(_)));
    nats.kill().unwrap();
    let quiet = tokio::time::timeout(3 * (INTERVAL + STALL), watch.change()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    nats.restart().await.unwrap();
    // What comes next is about an instance, and not a memory of the outage.
    let other = loop {
        match Server::new(&bus).add(OtherGreeter).start().await {
            Ok(server) => break server,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let came = change(&mut watch).await;
    assert_eq!(came.instance().id, other.instances()[0], "{came:?}");
}

fn signal(process: &Process, signal: &str) {
    let mut kill = std::process::Command::new("kill");
    let status = kill.arg(signal).arg(process.pid().to_string()).status();
    assert!(status.unwrap().success());
}
