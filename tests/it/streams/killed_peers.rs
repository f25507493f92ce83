//! Peers whose process is killed or suspended, and the time until the other end detects it.

use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::{Bus, ClientOptions, Code, Reason, Sender, Server, Status, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::StreamsHandler;
use micro_tests::streams::{Item, StreamsClient, StreamsServer};
use tokio::time::Instant;

use super::items::{count, expect_items, item, item_with_plan, sized_item};
use super::peer_process;
use crate::until::until;

/// Number of peers that each test kills, one after the other.
const KILLS: usize = 21;

/// Client of one instance.
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

/// Checks that the median is below 50 ms, and the longest time below 1 s.
///
/// A peer that writes each 10 ms notices within 10 ms on an idle machine; a busy one adds the time that its processes
/// wait for a core. Both are far below the heartbeat of 5 s, by which a silent peer is noticed.
fn check_detection_times(mut times: Vec<Duration>) {
    times.sort();
    assert!(times.len() >= KILLS);
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    assert!(
        median < Duration::from_millis(50),
        "{median:?} of {times:?}"
    );
    assert!(longest < Duration::from_secs(1), "{times:?}");
}

/// Spreads the kills over the 10 ms between two writes of a stream.
async fn wait_between_writes(number: usize) {
    let number = u64::try_from(number).unwrap();
    // sleep: a different time after the last write for each kill.
    tokio::time::sleep(Duration::from_millis(number * 3 % 10)).await;
}

fn check_peer_gone(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writing_client_detects_a_killed_server_at_once() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let names = (0..KILLS).map(|number| format!("i{number}"));
        let names = names.collect::<Vec<_>>();
        let servers = names
            .iter()
            .map(|name| peer_process::spawn(&nats, &["serve", name]));
        let servers = servers.collect::<Vec<_>>();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let mut times = Vec::new();
        for (name, mut server) in names.iter().zip(servers) {
            peer_process::wait_until_ready(&server).await;
            let (sender, mut echoes) = client_of(&bus, name).echo().open().await.unwrap();
            let writing = tokio::spawn(write_until_error(sender));
            for _ in 0..3 {
                echoes.message().await.unwrap().unwrap();
            }
            wait_between_writes(times.len()).await;
            server.kill().unwrap();
            let killed = Instant::now();
            let status = loop {
                if let Err(status) = echoes.message().await {
                    break status;
                }
            };
            times.push(killed.elapsed());
            check_peer_gone(&status);
            check_peer_gone(&writing.await.unwrap());
        }
        check_detection_times(times);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writing_handler_detects_a_killed_client_at_once() {
    within(Duration::from_secs(60), async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let handler = serve(&bus).await;
        let clients = (0..KILLS).map(|_| peer_process::spawn(&nats, &["read"]));
        let clients = clients.collect::<Vec<_>>();
        for client in &clients {
            peer_process::wait_until_ready(client).await;
        }
        let mut times = Vec::new();
        for mut client in clients {
            wait_between_writes(times.len()).await;
            client.kill().unwrap();
            let killed = Instant::now();
            let ended = times.len();
            until(|| handler.watched_ends().len() > ended).await;
            times.push(handler.watched_ends()[ended].saturating_duration_since(killed));
        }
        check_detection_times(times);
        within(Duration::from_secs(5), handler.wait_until_idle()).await;
    })
    .await;
}

/// Subscribes to all subjects, so that NATS never replies that there are no responders.
async fn subscribe_to_everything(nats: &NatsServer) {
    let subscriber = async_nats::connect(nats.url()).await.unwrap();
    let mut all = subscriber.subscribe(">").await.unwrap();
    tokio::spawn(async move {
        let _connection = subscriber;
        while all.next().await.is_some() {}
    });
}

/// Writes every 10 ms until a write fails, and returns its status.
async fn write_until_error(mut sender: Sender<Item>) -> Status {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        if let Err(status) = sender.send(item(0)).await {
            sender.closed().await;
            return status;
        }
    }
}

/// Kills the peers of streams in every state; returns the time until each end detected it.
async fn kill_peers(
    has_wildcard_subscriber: bool,
    heartbeat_s: u64,
) -> Vec<(&'static str, Duration)> {
    let nats = NatsServer::start().await.unwrap();
    if has_wildcard_subscriber {
        subscribe_to_everything(&nats).await;
    }
    let mut server = peer_process::start(&nats, &["serve", "doomed"]).await;
    let bus = Bus::connect(nats.url()).await.unwrap();
    let options = StreamOptions::new().heartbeat(Duration::from_secs(heartbeat_s));
    let client: StreamsClient = bus.client_with(
        ClientOptions::new()
            .instance("doomed")
            .stream_options(options),
    );
    let mut reading = client.count(count(1, "wait")).await.unwrap();
    reading.message().await.unwrap().unwrap();
    let mut blocked = client.collect().open().await.unwrap();
    blocked.send(item_with_plan("wait")).await.unwrap();
    let blocked_after = Duration::from_millis(200);
    while let Ok(sent) =
        tokio::time::timeout(blocked_after, blocked.send(sized_item(0, 100_000))).await
    {
        sent.unwrap();
    }
    let (mut writing, _echoes) = client.echo().open().await.unwrap();
    writing.send(item(0)).await.unwrap();
    // The killed client calls a service of this process, under another prefix than the killed server.
    let prefixed = bus.clone().with_prefix("here").unwrap();
    let handler = serve(&prefixed).await;
    let arguments = ["idle", &heartbeat_s.to_string()];
    let mut caller = peer_process::start_with_prefix(&nats, "here", &arguments).await;
    server.kill().unwrap();
    caller.kill().unwrap();
    let killed = Instant::now();
    let reads = async {
        check_peer_gone(&reading.message().await.unwrap_err());
        killed.elapsed()
    };
    let blocks = async {
        check_peer_gone(&blocked.send(sized_item(0, 100_000)).await.unwrap_err());
        killed.elapsed()
    };
    let writes = async {
        check_peer_gone(&write_until_error(writing).await);
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
async fn an_idle_end_detects_a_killed_peer_by_heartbeat() {
    within(Duration::from_secs(60), async {
        let (default, default_silent, fast, fast_silent) = tokio::join!(
            kill_peers(false, 5),
            kill_peers(true, 5),
            kill_peers(false, 1),
            kill_peers(true, 1),
        );
        // A heartbeat without responders shows that the peer is gone.
        check_within(&default, Duration::from_millis(5_500));
        check_within(&fast, Duration::from_millis(1_500));
        // With a subscriber to all subjects, only missing heartbeats show it.
        check_within(&default_silent, Duration::from_secs(16));
        check_within(&fast_silent, Duration::from_millis(3_500));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_server_ends_its_streams_and_serves_again_when_resumed() {
    within(Duration::from_secs(40), async {
        let nats = NatsServer::start().await.unwrap();
        let server = peer_process::start(&nats, &["serve", "sleeper"]).await;
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
        peer_process::send_signal(&server, "-STOP");
        let stopped = Instant::now();
        check_peer_gone(&reading.message().await.unwrap_err());
        collect.closed().await;
        check_peer_gone(&collect.finish().await.unwrap_err());
        let took = stopped.elapsed();
        assert!(took < Duration::from_millis(3_500), "{took:?}");
        peer_process::send_signal(&server, "-CONT");
        let mut items = client.count(count(3, "")).await.unwrap();
        expect_items(&mut items, 3).await;
    })
    .await;
}
