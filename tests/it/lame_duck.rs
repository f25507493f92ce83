//! A nats-server that is about to stop: its clients move to another server of the cluster, and nothing notices.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use micro_runtime::event::RawEvents;
use micro_runtime::{Bus, ConnectOptions, ConnectionState, Reason, RunningServer, Server};
use micro_testkit::{Direction, NatsCluster, NatsServer, Proxy, within};
use micro_tests::BehaviorHandler;
use micro_tests::StreamsHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::streams::{Item, StreamsClient, StreamsServer};
use tokio::task::{JoinHandle, JoinSet};

use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
/// Limit of what has nothing to wait for.
const STEP_LIMIT: Duration = Duration::from_secs(15);
/// Its log shows which clients have left.
const LAME_DUCK: &str = "debug: true\nlame_duck_duration: 30s\nlame_duck_grace_period: 20s";
const CALLERS: u64 = 16;
const STREAMS: u64 = 4;
/// Limit of work that goes on.
const SOON: Duration = Duration::from_secs(2);
/// Number of each kind of work that is done after the old server has gone.
const AFTERWARDS: u64 = 200;
/// Number of each kind of work that shows that it goes on, which a busy machine does in a moment as well.
const A_FEW: u64 = 20;

/// Counts of the work, and whether it goes on.
#[derive(Default)]
struct MovingLoad {
    is_over: AtomicBool,
    calls: AtomicU64,
    items: AtomicU64,
    published: AtomicU64,
}

impl MovingLoad {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    async fn until_more(&self, more: u64, count: &AtomicU64) {
        let before = count.load(Ordering::Relaxed);
        until(|| count.load(Ordering::Relaxed) >= before + more).await;
    }
}

async fn call(client: BehaviorClient, caller: u64, load: Arc<MovingLoad>) {
    let mut number = 0_u64;
    while load.goes_on() {
        let data = [caller, number].map(u64::to_be_bytes).concat();
        let reply = client.echo(Blob { data: data.clone() }).await.unwrap();
        assert_eq!(reply.data, data);
        load.calls.fetch_add(1, Ordering::Relaxed);
        number += 1;
    }
}

/// One stream for the whole time: each item must come back, in order.
async fn stream(client: StreamsClient, load: Arc<MovingLoad>) {
    let (mut sender, mut items) = client.echo().open().await.unwrap();
    let mut number = 0;
    while load.goes_on() {
        for number in number..number + 16 {
            let item = Item {
                number,
                ..Item::default()
            };
            sender.send(item).await.unwrap();
        }
        for number in number..number + 16 {
            assert_eq!(items.message().await.unwrap().unwrap().number, number);
            load.items.fetch_add(1, Ordering::Relaxed);
        }
        number += 16;
    }
    sender.finish().await.unwrap();
    assert_eq!(items.message().await.unwrap(), None);
}

async fn publish(bus: Bus, load: Arc<MovingLoad>) {
    while load.goes_on() {
        let number = load.published.fetch_add(1, Ordering::Relaxed);
        // Two subjects: while members of a group leave, nats-server 2.15 may deliver a message that it passes on to
        // another member twice to those who subscribe without a group.
        for subject in ["evt.number", "evt.shared"] {
            let published = bus.publish_raw(subject, number.to_string());
            published.await.unwrap();
        }
        tokio::time::sleep(Duration::from_micros(500)).await; // sleep: the rate of the load
    }
    bus.publish_raw("evt.number", "end").await.unwrap();
    bus.publish_raw("evt.shared", "end").await.unwrap();
}

/// Each event of the group comes to one member, once.
async fn read_member(mut member: RawEvents, seen: Arc<Mutex<HashSet<Bytes>>>) {
    while let Some(event) = member.next().await {
        assert!(seen.lock().unwrap().insert(event.payload));
    }
}

/// Reads numbers in order from the first that comes; returns the number behind the last one.
async fn read_in_order(mut events: RawEvents) -> u64 {
    let first = events.next().await.unwrap();
    let first = std::str::from_utf8(&first.payload).unwrap();
    let mut number = first.parse::<u64>().unwrap() + 1;
    loop {
        let event = events.next().await.unwrap();
        if event.payload == "end" {
            return number;
        }
        assert_eq!(event.payload, number.to_string());
        number += 1;
    }
}

fn begin(caller: &Bus, publisher: Bus, load: &Arc<MovingLoad>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for number in 0..CALLERS {
        tasks.spawn(call(caller.client(), number, Arc::clone(load)));
    }
    for _ in 0..STREAMS {
        tasks.spawn(stream(caller.client(), Arc::clone(load)));
    }
    tasks.spawn(publish(publisher, Arc::clone(load)));
    tasks
}

/// A service and its caller on a nats-server that is about to stop, under load.
struct Moving {
    caller: Bus,
    server: RunningServer,
    handler: StreamsHandler,
    load: Arc<MovingLoad>,
    tasks: JoinSet<()>,
    reading: JoinHandle<u64>,
    of_group: Arc<Mutex<HashSet<Bytes>>>,
}

impl Moving {
    async fn start(service: Bus, caller: Bus, publisher: Bus) -> Self {
        let handler = StreamsHandler::default();
        let server = Server::new(&service)
            .add(BehaviorServer::new(BehaviorHandler::default()))
            .add(StreamsServer::new(handler.clone()));
        let server = server.start().await.unwrap();
        let events = caller.subscribe_raw("evt.number").open().await.unwrap();
        let of_group = Arc::new(Mutex::new(HashSet::new()));
        for bus in [&caller, &service] {
            let member = bus.subscribe_raw("evt.shared").queue("group");
            let member = member.open().await.unwrap();
            tokio::spawn(read_member(member, Arc::clone(&of_group)));
        }
        let load = Arc::new(MovingLoad::default());
        let moving = Self {
            tasks: begin(&caller, publisher, &load),
            reading: tokio::spawn(read_in_order(events)),
            caller,
            server,
            handler,
            load,
            of_group,
        };
        moving.goes_on(AFTERWARDS).await;
        moving
    }

    /// Waits for so much more work of each kind.
    async fn goes_on(&self, more: u64) {
        let load = &self.load;
        load.until_more(more, &load.calls).await;
        load.until_more(more, &load.items).await;
        load.until_more(more, &load.published).await;
    }

    /// Kills the old server once everything has left it.
    async fn leave(&self, old: &mut NatsServer) {
        until(|| old.log().matches("Client connection closed").count() >= 2).await;
        // The old server passes on to others what was on its way to members of groups there: it must not be killed at
        // once.
        for _ in 0..5 {
            self.load.until_more(AFTERWARDS, &self.load.published).await;
        }
        old.kill().unwrap();
    }

    /// Ends the load, of which nothing was lost.
    async fn end(mut self) {
        let load = &self.load;
        self.goes_on(AFTERWARDS).await;
        load.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = within(STEP_LIMIT, self.tasks.join_next()).await {
            ended.unwrap();
        }
        let published = load.published.load(Ordering::Relaxed);
        assert_eq!(within(STEP_LIMIT, self.reading).await.unwrap(), published);
        // Each event since the first that came, and the end.
        until(|| {
            let seen = self.of_group.lock().unwrap();
            let numbers = seen
                .iter()
                .filter_map(|one| std::str::from_utf8(one).ok()?.parse().ok());
            let first = numbers.min().unwrap_or(published);
            seen.len() as u64 == published - first + 1
        })
        .await;
        assert_eq!(self.caller.unmatched_replies(), 0);
        within(STEP_LIMIT, self.handler.wait_until_idle()).await;
        within(STEP_LIMIT, self.server.shutdown()).await.unwrap();
    }
}

/// Starts service and caller on the first server of a cluster, and the publisher on the second.
async fn start_on_first() -> (NatsCluster, Moving) {
    let mut cluster = NatsCluster::start_with(LAME_DUCK).await.unwrap();
    let [first, second] = ["n1", "n2"].map(|name| cluster.server(name).unwrap().url());
    let [service, caller, publisher] = [&first, &first, &second].map(Bus::connect);
    let (service, caller, publisher) = tokio::join!(service, caller, publisher);
    let moving = Moving::start(service.unwrap(), caller.unwrap(), publisher.unwrap()).await;
    (cluster, moving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_to_another_server_before_this_one_stops() {
    within(LIMIT, async {
        let (mut cluster, moving) = start_on_first().await;
        let old = cluster.server("n1").unwrap();
        old.enter_lame_duck_mode().unwrap();
        moving.leave(old).await;
        moving.end().await;
    })
    .await;
}

/// Connects to the first of two servers, the second of which is never left out.
async fn connect_to_first(first: &str, second: &str) -> Bus {
    loop {
        let options = ConnectOptions::new().discover_servers(false);
        let servers = format!("{first},{second}");
        let bus = Bus::connect_with(options, &servers).await.unwrap();
        let client = bus.nats().unwrap();
        if client.server_info().server_name == "n1" {
            return bus;
        }
    }
}

/// Number of connections that are given up: two of each bus.
const FAILURES: usize = 4;

/// The new connections confirm nothing, twice, and are given up: everything goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_that_fail_leave_everything_as_it_was_and_are_begun_anew() {
    within(LIMIT, async {
        let mut cluster = NatsCluster::start_with(LAME_DUCK).await.unwrap();
        let first = cluster.server("n1").unwrap().url();
        let second = cluster.server("n2").unwrap();
        // Connections that have subscribed to anything, and hear nothing from then on, as long as there are few of
        // them.
        let silenced = Arc::new(Mutex::new(HashSet::new()));
        let itself = Arc::<OnceLock<Proxy>>::default();
        let observe = {
            let (silenced, itself) = (Arc::clone(&silenced), Arc::clone(&itself));
            move |connection, piece: &[u8]| {
                let mut silenced = silenced.lock().unwrap();
                let is_subscribing = piece.windows(4).any(|part| part == b"SUB ");
                if is_subscribing && silenced.len() < FAILURES && silenced.insert(connection) {
                    itself.get().unwrap().hold(Direction::ToClient);
                }
            }
        };
        let proxy = Proxy::start_observed(second.port(), observe).await.unwrap();
        let url = proxy.url();
        itself.set(proxy).unwrap();
        let publisher = Bus::connect(&second.url()).await.unwrap();
        let service = connect_to_first(&first, &url).await;
        let caller = connect_to_first(&first, &url).await;
        let moving = Moving::start(service, caller, publisher).await;
        silenced.lock().unwrap().clear();
        let old = cluster.server("n1").unwrap();
        old.enter_lame_duck_mode().unwrap();
        until(|| silenced.lock().unwrap().len() == FAILURES).await;
        moving.goes_on(AFTERWARDS).await;
        moving.leave(old).await;
        moving.end().await;
    })
    .await;
}

/// Name of the server that a bus is connected to.
fn server_of(bus: &Bus) -> Option<String> {
    Some(bus.nats()?.server_info().server_name)
}

/// The second move begins while repeats of the first are looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_on_the_heels_of_each_other_delay_nothing() {
    within(LIMIT, async {
        let (mut cluster, moving) = start_on_first().await;
        for _ in 0..2 {
            let name = server_of(&moving.caller).unwrap();
            let server = cluster.server(&name).unwrap();
            server.enter_lame_duck_mode().unwrap();
            until(|| server_of(&moving.caller).is_some_and(|now| now != name)).await;
        }
        for _ in 0..5 {
            within(SOON, moving.goes_on(A_FEW)).await;
            tokio::time::sleep(Duration::from_millis(500)).await; // sleep: until the second move is over
        }
        moving.end().await;
    })
    .await;
}

/// The old server is gone while the new connection confirms nothing: the state shows it, calls fail or wait, and those
/// that wait go on with the new connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_in_the_middle_of_a_move_shows_in_the_state() {
    within(LIMIT, async {
        let mut cluster = NatsCluster::start_with(LAME_DUCK).await.unwrap();
        let first = cluster.server("n1").unwrap().url();
        let second = cluster.server("n2").unwrap();
        let is_moving = Arc::<AtomicBool>::default();
        let is_held = Arc::<AtomicBool>::default();
        let itself = Arc::<OnceLock<Proxy>>::default();
        let observe = {
            let (is_moving, is_held) = (Arc::clone(&is_moving), Arc::clone(&is_held));
            let itself = Arc::clone(&itself);
            move |_, piece: &[u8]| {
                let is_subscribing = piece.windows(4).any(|part| part == b"SUB ");
                if is_subscribing && is_moving.swap(false, Ordering::Relaxed) {
                    itself.get().unwrap().hold(Direction::ToClient);
                    is_held.store(true, Ordering::Relaxed);
                }
            }
        };
        let proxy = Proxy::start_observed(second.port(), observe).await.unwrap();
        let url = proxy.url();
        let proxy = itself.get_or_init(|| proxy);
        let service = Bus::connect(&second.url()).await.unwrap();
        let server = Server::new(&service).add(BehaviorServer::new(BehaviorHandler::default()));
        let server = server.start().await.unwrap();
        let caller = connect_to_first(&first, &url).await;
        let client: BehaviorClient = caller.client();
        client.echo(Blob::default()).await.unwrap();
        let mut states = caller.states();
        assert_eq!(states.next().await, Some(ConnectionState::Connected));
        is_moving.store(true, Ordering::Relaxed);
        let old = cluster.server("n1").unwrap();
        old.enter_lame_duck_mode().unwrap();
        until(|| is_held.load(Ordering::Relaxed)).await;
        old.kill().unwrap();
        let next = within(SOON, states.next()).await;
        assert_eq!(next, Some(ConnectionState::Disconnected));
        let failed = client.echo(Blob::default()).await.unwrap_err();
        assert_eq!(failed.reason(), Some(Reason::Disconnected));
        let waiting = client.echo(Blob::default()).wait_for_ready().timeout(LIMIT);
        let (replied, ()) = tokio::join!(waiting, async { proxy.release() });
        replied.unwrap();
        let next = within(SOON, states.next()).await;
        assert_eq!(next, Some(ConnectionState::Connected));
        server.shutdown().await.unwrap();
    })
    .await;
}
