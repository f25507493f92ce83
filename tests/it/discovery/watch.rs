//! Watches of instances that start, stop, die and hang; each change is reported within the documented time.

use std::time::Duration;

use micro_runtime::discovery::{Change, Departure, Watch};
use micro_runtime::{Bus, RunningServer, Server, Service};
use micro_testkit::{NatsServer, Process, within};
use tokio::time::Instant;

use super::handwritten_services::{OneGreeter, OtherGreeter};
use super::plain_client::plain_client;
use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::server_process::start_server_process;

/// Interval of the pings.
const INTERVAL: Duration = Duration::from_millis(300);
/// Time that an instance has for the reply to a ping of its own. It is long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);
/// Stall time of a ping to all instances.
const STALL: Duration = Duration::from_millis(300);
/// Maximum delay of a change after its documented time.
const MAX_DELAY: Duration = Duration::from_millis(300);
/// Maximum number of measurements. A machine that is busy with other builds delays some of them; a watch
/// that is later than documented fails all of them.
const MAX_ATTEMPTS: usize = 5;

on_both_carriers_and_paused! {
    starts_and_stops_are_announced
    one_service_can_be_watched
    a_dropped_server_is_reported_as_stopped
    forged_announcements_are_ignored
}

async fn start_watch(bus: &Bus) -> Watch {
    start_watch_with(bus, PATIENCE).await
}

async fn start_watch_with(bus: &Bus, patience: Duration) -> Watch {
    let watch = bus.discovery().watch().interval(INTERVAL);
    watch.patience(patience).open().await.unwrap()
}

async fn start_server(bus: &Bus, service: impl Service) -> RunningServer {
    Server::new(bus).add(service).start().await.unwrap()
}

async fn next_change(watch: &mut Watch) -> Change {
    within(Duration::from_secs(20), watch.next()).await.unwrap()
}

/// Returns the next change of an instance of the service, and skips those of others.
async fn next_change_of(watch: &mut Watch, service: &str) -> Change {
    loop {
        let change = next_change(watch).await;
        if change.instance().name == service {
            return change;
        }
    }
}

/// Runs `measure` until it returns less than `documented`, plus [`MAX_DELAY`]; fails after several
/// attempts.
async fn check_duration(documented: Duration, mut measure: impl AsyncFnMut() -> Duration) {
    let mut measured = Vec::new();
    for _ in 0..MAX_ATTEMPTS {
        let duration = measure().await;
        if duration < documented + MAX_DELAY {
            return;
        }
        measured.push(duration);
    }
    panic!("documented: {documented:?}, measured: {measured:?}");
}

async fn starts_and_stops_are_announced(carrier: Carrier) {
    let first = start_server(&carrier.bus, OneGreeter).await;
    // Longer than the test: a change after the first ping is an announcement.
    let interval = Duration::from_secs(3600);
    let discovery = carrier.another_bus().await.discovery();
    let mut watch = discovery.watch().interval(interval).open().await.unwrap();
    let found = next_change(&mut watch).await;
    assert_eq!(found.instance().id, first.instances()[0]);
    let second = start_server(&carrier.bus, OtherGreeter).await;
    let joined = next_change(&mut watch).await;
    assert!(
        matches!(&joined, Change::Joined(instance) if instance.name == "other-v1-Greeter"),
        "{joined:?}"
    );
    assert_eq!(
        joined.instance().metadata["micro.service"],
        "other.v1.Greeter"
    );
    second.shutdown().await.unwrap();
    let left = next_change(&mut watch).await;
    assert_eq!(
        left,
        Change::Left(joined.instance().clone(), Departure::Stopped)
    );
    first.shutdown().await.unwrap();
    let left = next_change(&mut watch).await;
    assert!(
        matches!(left, Change::Left(_, Departure::Stopped)),
        "{left:?}"
    );
}

async fn one_service_can_be_watched(carrier: Carrier) {
    let discovery = carrier.bus.discovery();
    let watch = discovery.watch().of("one.v1.Greeter").interval(INTERVAL);
    let mut watch = watch.open().await.unwrap();
    let _other = start_server(&carrier.bus, OtherGreeter).await;
    let one = start_server(&carrier.bus, OneGreeter).await;
    let joined = next_change(&mut watch).await;
    assert_eq!(joined.instance().id, one.instances()[0]);
}

async fn a_dropped_server_is_reported_as_stopped(carrier: Carrier) {
    let measure = async || {
        let server = start_server(&carrier.bus, OneGreeter).await;
        let mut watch = start_watch_with(&carrier.bus, STALL).await;
        assert!(matches!(next_change(&mut watch).await, Change::Joined(_)));
        let dropped_at = Instant::now();
        drop(server);
        let left = next_change(&mut watch).await;
        assert!(
            matches!(left, Change::Left(_, Departure::Stopped)),
            "{left:?}"
        );
        dropped_at.elapsed()
    };
    check_duration(Duration::ZERO, measure).await;
}

async fn forged_announcements_are_ignored(carrier: Carrier) {
    let server = start_server(&carrier.bus, OneGreeter).await;
    let Some(client) = plain_client(&carrier).await else {
        return;
    };
    let mut watch = start_watch(&carrier.bus).await;
    assert!(matches!(next_change(&mut watch).await, Change::Joined(_)));
    let id = &server.instances()[0];
    let event = format!(
        r#"{{"type":"micro.v1.instance_stopping","name":"one-v1-Greeter","id":"{id}","version":"1.0.0"}}"#
    );
    // An event of one instance on the subject of another, and an event that is no JSON.
    let forged = client.publish("$SRV._EVENT.mine.1", event.clone().into());
    forged.await.unwrap();
    let subject = format!("$SRV._EVENT.one-v1-Greeter.{id}");
    client.publish(subject.clone(), "x".into()).await.unwrap();
    let unexpected = tokio::time::timeout(INTERVAL + STALL, watch.next()).await;
    assert!(unexpected.is_err(), "{unexpected:?}");
    // The same event on the subject of its instance takes effect.
    client.publish(subject, event.into()).await.unwrap();
    let left = next_change(&mut watch).await;
    assert!(
        matches!(left, Change::Left(_, Departure::Stopped)),
        "{left:?}"
    );
    // The instance still runs, so the next ping finds it again.
    assert!(matches!(next_change(&mut watch).await, Change::Joined(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_is_reported_within_the_documented_time() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let mut watch = start_watch(&bus).await;
    let _other = start_server(&bus, OneGreeter).await;
    let measure = async || {
        let mut process = start_server_process(&nats).await;
        let joined = next_change_of(&mut watch, "behavior-v1-Behavior").await;
        assert!(matches!(joined, Change::Joined(_)), "{joined:?}");
        process.kill().unwrap();
        let killed_at = Instant::now();
        let left = next_change_of(&mut watch, "behavior-v1-Behavior").await;
        assert_eq!(
            left,
            Change::Left(joined.instance().clone(), Departure::Died)
        );
        killed_at.elapsed()
    };
    check_duration(INTERVAL + STALL, measure).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_process_is_silent_and_then_back() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let mut watch = start_watch(&bus).await;
    let process = start_server_process(&nats).await;
    let joined = next_change(&mut watch).await;
    let measure = async || {
        signal(&process, "-STOP");
        let stopped_at = Instant::now();
        let silent = next_change(&mut watch).await;
        let duration = stopped_at.elapsed();
        assert_eq!(silent, Change::Silent(joined.instance().clone()));
        signal(&process, "-CONT");
        let back = next_change(&mut watch).await;
        assert_eq!(back, Change::Back(joined.instance().clone()));
        duration
    };
    // No other instance replies to the ping, so it takes its maximum time.
    let documented = INTERVAL + PATIENCE.max(STALL) + PATIENCE;
    check_duration(documented, measure).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_stays_silent_is_lost() {
    let nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let process = start_server_process(&nats).await;
    let watch = bus.discovery().watch().interval(INTERVAL);
    // Longer than one round of pings, after which the instance is silent, and not yet lost.
    let forget_after = 2 * (INTERVAL + 2 * PATIENCE);
    let watch = watch.patience(PATIENCE).forget_after(forget_after);
    let mut watch = watch.open().await.unwrap();
    assert!(matches!(next_change(&mut watch).await, Change::Joined(_)));
    signal(&process, "-STOP");
    assert!(matches!(next_change(&mut watch).await, Change::Silent(_)));
    let lost = next_change(&mut watch).await;
    assert!(matches!(lost, Change::Left(_, Departure::Lost)), "{lost:?}");
    signal(&process, "-CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnected_bus_reports_no_changes() {
    let mut nats = NatsServer::start().await.unwrap();
    let bus = Bus::connect(nats.url()).await.unwrap();
    let _server = start_server(&bus, OneGreeter).await;
    let mut watch = start_watch(&bus).await;
    assert!(matches!(next_change(&mut watch).await, Change::Joined(_)));
    nats.kill().unwrap();
    let unexpected = tokio::time::timeout(3 * (INTERVAL + STALL), watch.next()).await;
    assert!(unexpected.is_err(), "{unexpected:?}");
    nats.restart().await.unwrap();
    // The next change is a new instance, not a late effect of the disconnection.
    let other = loop {
        match Server::new(&bus).add(OtherGreeter).start().await {
            Ok(server) => break server,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let joined = next_change(&mut watch).await;
    assert_eq!(joined.instance().id, other.instances()[0], "{joined:?}");
}

fn signal(process: &Process, signal: &str) {
    let mut kill = std::process::Command::new("kill");
    let status = kill.arg(signal).arg(process.pid().to_string()).status();
    assert!(status.unwrap().success());
}
