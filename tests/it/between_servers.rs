//! A caller and a service at two nats-servers, between which a third one or a link goes: both keep their connections,
//! and nothing tells them. Calls end at their deadline, streams at theirs or with their heartbeats.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use micro_runtime::{Bus, ConnectionState, Reason, RunningServer, Server, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::streams::{Item, StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};
use tokio::task::JoinHandle;

use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Time without a frame after which a stream ends.
const THREE_HEARTBEATS: Duration = Duration::from_secs(15);
/// Allowance for a busy machine.
const ALLOWANCE: Duration = Duration::from_secs(1);
const CALLS: usize = 16;
const STREAMS: usize = 4;

/// How the server in the middle, or that of the service, goes.
#[derive(Clone, Copy)]
enum Going {
    Killed,
    Frozen,
}

/// Servers that pass messages on to each other.
struct Servers {
    caller: NatsServer,
    service: NatsServer,
    /// `None` where the other two are connected to each other.
    hub: Option<NatsServer>,
}

/// Starts a server that takes such connections of other servers; returns the address for these, too. It is the same
/// after a restart.
async fn start_listening(section: &str, named: &str) -> (NatsServer, String) {
    let config = |port: i32| format!("{section} {{ {named} listen: \"127.0.0.1:{port}\" }}");
    let server = NatsServer::builder().config(&config(-1));
    let mut started = server.start().await.unwrap();
    let log = started.log();
    let line = log
        .lines()
        .find(|line| line.contains(&format!("Listening for {}", section.trim_end_matches('s'))))
        .unwrap_or_else(|| panic!("no listener for {section}: {log}"));
    let port: i32 = line.rsplit_once(':').unwrap().1.trim().parse().unwrap();
    started.set_config(&config(port)).unwrap();
    (started, format!("127.0.0.1:{port}"))
}

impl Servers {
    /// Caller and service at a leaf node each, which a hub connects.
    async fn leaves() -> Self {
        let (hub, address) = start_listening("leafnodes", "").await;
        let remotes =
            format!("leafnodes {{ reconnect: 1, remotes: [ {{ url: \"nats://{address}\" }} ] }}");
        let leaf = || NatsServer::builder().config(&remotes).start();
        let (caller, service) = tokio::try_join!(leaf(), leaf()).unwrap();
        Self {
            caller,
            service,
            hub: Some(hub),
        }
    }

    /// Caller and service in two clusters, which gateways connect.
    async fn gateways() -> Self {
        let (service, address) = start_listening("gateway", "name: east,").await;
        let remote = format!("gateways: [ {{ name: east, url: \"nats://{address}\" }} ]");
        let config = format!("gateway {{ name: west, listen: \"127.0.0.1:-1\", {remote} }}");
        let caller = NatsServer::builder().config(&config).start().await.unwrap();
        Self {
            caller,
            service,
            hub: None,
        }
    }

    fn goes(&mut self, going: Going) {
        let server = self.hub.as_mut().unwrap_or(&mut self.service);
        match going {
            Going::Killed => server.kill(),
            Going::Frozen => server.pause(),
        }
        .unwrap();
    }

    async fn comes_back(&mut self, going: Going) {
        let server = self.hub.as_mut().unwrap_or(&mut self.service);
        match going {
            Going::Killed => server.restart().await.unwrap(),
            Going::Frozen => server.resume().unwrap(),
        }
    }
}

/// Calls the service until it replies: the servers tell each other of its subscriptions.
async fn reached(client: &BehaviorClient) {
    let calling = async {
        while let Err(status) = client.echo(Blob::default()).timeout(ALLOWANCE).await {
            let reasons = [Some(Reason::NoResponders), Some(Reason::Deadline)];
            assert!(reasons.contains(&status.reason()), "{status}");
        }
    };
    within(LIMIT, calling).await;
}

/// Begins calls that do not end by themselves.
fn begin_calls(client: &BehaviorClient) -> Vec<JoinHandle<(Status, Duration)>> {
    let begin = |_| {
        let call = client.wait(BehaviorHandler::UNTIL_RELEASED);
        let call = call.timeout(TIMEOUT).into_future();
        tokio::spawn(async move {
            let begun = Instant::now();
            (call.await.unwrap_err(), begun.elapsed())
        })
    };
    (0..CALLS).map(begin).collect()
}

/// Opens a stream, and waits for an item that does not come.
async fn open(client: &StreamsClient, timeout: Option<Duration>) -> JoinHandle<Status> {
    let call = client.echo();
    let call = match timeout {
        Some(timeout) => call.timeout(timeout),
        None => call,
    };
    let (mut sender, mut items) = call.open().await.unwrap();
    sender.send(Item::default()).await.unwrap();
    items.message().await.unwrap().unwrap();
    tokio::spawn(async move {
        let _sender = sender;
        items.message().await.unwrap_err()
    })
}

async fn serve(bus: &Bus, handler: BehaviorHandler) -> RunningServer {
    let server = Server::new(bus)
        .add(BehaviorServer::new(handler))
        .add(StreamsServer::new(StreamsHandler::default()));
    server.start().await.unwrap()
}

async fn calls_end_in_time(mut servers: Servers, going: Going) {
    let service = Bus::connect(servers.service.url()).await.unwrap();
    let handler = BehaviorHandler::default();
    let server = serve(&service, handler.clone()).await;
    let caller = Bus::connect(servers.caller.url()).await.unwrap();
    let client: BehaviorClient = caller.client();
    reached(&client).await;
    let streams: StreamsClient = caller.client();
    let patient = open(&streams, None).await;
    let mut limited = Vec::new();
    for _ in 0..STREAMS {
        limited.push(open(&streams, Some(TIMEOUT)).await);
    }
    let calls = begin_calls(&client);
    until(|| handler.running() == CALLS).await;
    servers.goes(going);
    let gone = Instant::now();
    // Some are sent while the server is away, where nobody may know it.
    for call in calls.into_iter().chain(begin_calls(&client)) {
        let (status, took) = call.await.unwrap();
        match status.reason() {
            Some(Reason::Deadline) => {
                assert!(took < TIMEOUT + ALLOWANCE, "{took:?}: {status}");
            }
            // Of a call that is begun once the server knows that the service is away.
            reason => assert_eq!(reason, Some(Reason::NoResponders), "{status}"),
        }
    }
    for stream in limited {
        let status = stream.await.unwrap();
        assert_eq!(status.reason(), Some(Reason::Deadline), "{status}");
    }
    assert!(gone.elapsed() < TIMEOUT + ALLOWANCE * 2);
    let status = patient.await.unwrap();
    assert_eq!(status.reason(), Some(Reason::PeerGone), "{status}");
    assert!(gone.elapsed() < THREE_HEARTBEATS + ALLOWANCE * 2);
    assert_eq!(caller.state(), ConnectionState::Connected);
    servers.comes_back(going).await;
    reached(&client).await;
    until(|| handler.running() == 0).await;
    within(LIMIT, server.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_in_time_when_the_hub_of_a_leaf_node_is_killed() {
    let servers = Servers::leaves().await;
    within(LIMIT, calls_end_in_time(servers, Going::Killed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_in_time_when_the_hub_of_a_leaf_node_is_frozen() {
    let servers = Servers::leaves().await;
    within(LIMIT, calls_end_in_time(servers, Going::Frozen)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_in_time_when_the_other_end_of_a_gateway_is_killed() {
    let servers = Servers::gateways().await;
    within(LIMIT, calls_end_in_time(servers, Going::Killed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_in_time_when_the_other_end_of_a_gateway_is_frozen() {
    let servers = Servers::gateways().await;
    within(LIMIT, calls_end_in_time(servers, Going::Frozen)).await;
}
