//! A peer whose process is killed or stopped: how soon the other end knows.

use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use micro_runtime::{Bus, ClientOptions, Code, Reason, Sender, Server, Status, StreamOptions};
use micro_testkit::{NatsServer, Process, within};
use micro_tests::StreamsHandler;
use micro_tests::streams::{Item, StreamsClient, StreamsServer};

use super::{count, heavy, item, plan, until};

const KILLS: usize = 21;

/// Starts a process, which is `ready` later.
fn spawn(nats: &NatsServer, arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-peer"));
    command.args(arguments).env("NATS_URL", nats.url());
    Process::spawn(command).unwrap()
}

async fn ready(process: &Process) {
    let limit = Duration::from_secs(30);
    process.wait_for_line("ready", limit).await.unwrap();
}

pub(super) async fn start(nats: &NatsServer, arguments: &[&str]) -> Process {
    let process = spawn(nats, arguments);
    ready(&process).await;
    process
}

fn signal(process: &Process, name: &str) {
    let pid = process.pid().to_string();
    let status = Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(status.success());
}

/// A client of one instance.
fn client_of(bus: &Bus, instance: &str) -> StreamsClient {
    bus.client_with(ClientOptions::new().instance(instance))
}

async fn serve(bus: &Bus) -> StreamsHandler {
    let handler = StreamsHandler::default();
    let server = Server::new(bus).add(StreamsServer::new(handler.clone()));
    // Kept until the test's runtime ends.
    std::mem::forget(server.start().await.unwrap());
    handler
}

/// A median of less than 10 ms, and none above 500 ms.
fn check_times(mut times: Vec<Duration>) {
    times.sort();
    assert!(times.len() >= KILLS);
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    assert!(
        median < Duration::from_millis(10),
        "{median:?} of {times:?}"
    );
    assert!(longest < Duration::from_millis(500), "{times:?}");
}

/// The writes come every 10 ms, and a kill at any time between them.
async fn between_two_writes(number: usize) {
    let number = u64::try_from(number).unwrap();
    // sleep: that is the time.
    tokio::time::sleep(Duration::from_millis(number * 3 % 10)).await;
}

fn check_gone(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_knows_at_once_that_its_server_was_killed() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let names = (0..KILLS).map(|number| format!("i{number}"));
        let names = names.collect::<Vec<_>>();
        let servers = names.iter().map(|name| spawn(&nats, &["serve", name]));
        let servers = servers.collect::<Vec<_>>();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let mut times = Vec::new();
        for (name, mut server) in names.iter().zip(servers) {
            ready(&server).await;
            let (sender, mut echoes) = client_of(&bus, name).echo().open().await.unwrap();
            let writing = tokio::spawn(write_on(sender));
            for _ in 0..3 {
                echoes.message().await.unwrap().unwrap();
            }
            between_two_writes(times.len()).await;
            server.kill().unwrap();
            let killed = Instant::now();
            let status = loop {
                if let Err(status) = echoes.message().await {
                    break status;
                }
            };
            times.push(killed.elapsed());
            check_gone(&status);
            check_gone(&writing.await.unwrap());
        }
        check_times(times);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_knows_at_once_that_its_caller_was_killed() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let handler = serve(&bus).await;
        let clients = (0..KILLS).map(|_| spawn(&nats, &["read"]));
        let clients = clients.collect::<Vec<_>>();
        for client in &clients {
            ready(client).await;
        }
        let mut times = Vec::new();
        for mut client in clients {
            between_two_writes(times.len()).await;
            client.kill().unwrap();
            let killed = Instant::now();
            let ended = times.len();
            until(|| handler.watched_ends().len() > ended).await;
            times.push(handler.watched_ends()[ended].saturating_duration_since(killed));
        }
        check_times(times);
        within(Duration::from_secs(5), handler.wait_until_idle()).await;
    })
    .await;
}

/// Subscribes to everything, so that NATS never says that nobody is there.
async fn overhear(nats: &NatsServer) {
    let overhearing = async_nats::connect(nats.url()).await.unwrap();
    let mut all = overhearing.subscribe(">").await.unwrap();
    tokio::spawn(async move {
        let _overhearing = overhearing;
        while all.next().await.is_some() {}
    });
}

/// A caller in a process of its own, of a service under the prefix `here`.
async fn idle_caller(nats: &NatsServer, seconds: u64) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-peer"));
    command.args(["idle", &seconds.to_string()]);
    command
        .env("NATS_URL", nats.url())
        .env("MICRO_PREFIX", "here");
    let caller = Process::spawn(command).unwrap();
    ready(&caller).await;
    caller
}

/// Writes every 10 ms, and says how that ends.
async fn write_on(mut sender: Sender<Item>) -> Status {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        if let Err(status) = sender.send(item(0)).await {
            sender.closed().await;
            return status;
        }
    }
}

/// Streams of every state, whose peers are killed at once; returns how long each end took to know.
async fn killed_while_idle(is_overheard: bool, seconds: u64) -> Vec<(&'static str, Duration)> {
    let nats = NatsServer::start().await.unwrap();
    if is_overheard {
        overhear(&nats).await;
    }
    let mut server = start(&nats, &["serve", "doomed"]).await;
    let bus = Bus::connect(nats.url()).await.unwrap();
    let options = StreamOptions::new().heartbeat(Duration::from_secs(seconds));
    let client: StreamsClient = bus.client_with(
        ClientOptions::new()
            .instance("doomed")
            .stream_options(options),
    );
    let mut reading = client.count(count(1, "wait")).await.unwrap();
    reading.message().await.unwrap().unwrap();
    let mut blocked = client.collect().open().await.unwrap();
    blocked.send(plan("wait")).await.unwrap();
    let soon = Duration::from_millis(200);
    while let Ok(sent) = tokio::time::timeout(soon, blocked.send(heavy(0, 100_000))).await {
        sent.unwrap();
    }
    let (mut writing, _echoes) = client.echo().open().await.unwrap();
    writing.send(item(0)).await.unwrap();
    let staging = bus.clone().with_prefix("here").unwrap();
    let handler = serve(&staging).await;
    let mut caller = idle_caller(&nats, seconds).await;
    server.kill().unwrap();
    caller.kill().unwrap();
    let killed = Instant::now();
    let reads = async {
        check_gone(&reading.message().await.unwrap_err());
        killed.elapsed()
    };
    let blocks = async {
        check_gone(&blocked.send(heavy(0, 100_000)).await.unwrap_err());
        killed.elapsed()
    };
    let writes = async {
        check_gone(&write_on(writing).await);
        killed.elapsed()
    };
    let serves = async {
        until(|| handler.watched_ends().len() == 1).await;
        handler.watched_ends()[0].saturating_duration_since(killed)
    };
    let (reads, blocks, writes, serves) = tokio::join!(reads, blocks, writes, serves);
    within(Duration::from_secs(1), handler.wait_until_idle()).await;
    vec![
        ("reads", reads),
        ("blocks", blocks),
        ("writes", writes),
        ("serves", serves),
    ]
}

fn check_within(times: &[(&'static str, Duration)], limit: Duration) {
    assert!(times.iter().all(|(_, time)| *time < limit), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_end_knows_in_time_that_its_peer_was_killed() {
    within(Duration::from_secs(60), async {
        let (default, overheard, fast, fast_overheard) = tokio::join!(
            killed_while_idle(false, 5),
            killed_while_idle(true, 5),
            killed_while_idle(false, 1),
            killed_while_idle(true, 1),
        );
        // NATS says that nobody is there when it is asked.
        check_within(&default, Duration::from_millis(5_500));
        check_within(&fast, Duration::from_millis(1_500));
        // Somebody listens to everything, and silence alone tells.
        check_within(&overheard, Duration::from_secs(16));
        check_within(&fast_overheard, Duration::from_millis(3_500));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_peer_ends_its_streams_and_no_more() {
    within(Duration::from_secs(40), async {
        let nats = NatsServer::start().await.unwrap();
        let server = start(&nats, &["serve", "sleeper"]).await;
        let bus = Bus::connect(nats.url()).await.unwrap();
        let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
        let client: StreamsClient = bus.client_with(
            ClientOptions::new()
                .instance("sleeper")
                .stream_options(options),
        );
        let mut reading = client.count(count(1, "wait")).await.unwrap();
        reading.message().await.unwrap().unwrap();
        let mut collect = client.collect().open().await.unwrap();
        collect.send(item(0)).await.unwrap();
        signal(&server, "-STOP");
        let stopped = Instant::now();
        check_gone(&reading.message().await.unwrap_err());
        collect.closed().await;
        check_gone(&collect.finish().await.unwrap_err());
        let took = stopped.elapsed();
        assert!(took < Duration::from_millis(3_500), "{took:?}");
        signal(&server, "-CONT");
        let mut items = client.count(count(3, "")).await.unwrap();
        super::statuses::complete(&mut items, 3).await;
    })
    .await;
}
