//! Log lines of what happens tens of thousands of times: a few, whose counts are right to the last, as are those of
//! STATS.
//!
//! In the first tier 3,000 of each, and the last count comes with the stop. The slow suite has 50,000 of each, and the
//! last count comes after 30 s though nothing more happens.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use micro_runtime::discovery::{EndpointData, EventData, InstanceData};
use micro_runtime::{
    Bus, ConnectOptions, Context, RunningServer, Server, Status, Subscriber, Subscription,
};
use micro_testkit::{NatsServer, within};
use micro_tests::greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
use micro_tests::market::{Trade, TradeFilter};

use crate::carriers::Carrier;
use crate::events::trades::trade;
use crate::log_flood::{FEW, FloodLoad, LogFlood};
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);
/// Limit of the tests of the slow suite.
const SLOW_LIMIT: Duration = Duration::from_secs(600);
const METHOD: &str = "greeter.v1.Greeter.SayHello";
/// A service that may not publish its replies, and its peer.
const MUTE_SERVICE: &str = r#"authorization { users = [
    { user: service, password: service, permissions: { subscribe: ">", publish: "_INBOX.service.>" } }
    { user: peer, password: peer }
] }"#;
const SUBJECT: &str = "evt.market.trade.v.s";

/// Fails by the file that the request names.
struct BrokenGreeter;

impl Greeter for BrokenGreeter {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        match request.name.as_str() {
            "" => Ok(HelloReply::default()),
            path => Ok(std::fs::read(path).map(|_| HelloReply::default())?),
        }
    }
}

/// Fails, waits for ever, or does neither.
#[derive(Clone, Copy)]
enum TradeHandler {
    Fails,
    Waits,
}

impl Subscriber<Trade> for TradeHandler {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        match self {
            Self::Fails => Err(Status::unavailable("no room")),
            Self::Waits => std::future::pending().await,
        }
    }
}

async fn serve(bus: &Bus) -> RunningServer {
    let server = Server::new(bus).add(GreeterServer::new(BrokenGreeter));
    server.start().await.unwrap()
}

async fn serve_events(bus: &Bus, handler: TradeHandler) -> RunningServer {
    let subscription = Subscription::broadcast().max_waiting(1);
    let subscription = match handler {
        TradeHandler::Waits => subscription,
        TradeHandler::Fails => subscription.max_waiting(1_000_000),
    };
    let server = Server::new(bus)
        .grace(Duration::from_millis(100))
        .add(GreeterServer::new(BrokenGreeter))
        .subscribe::<Trade>(handler, subscription);
    server.start().await.unwrap()
}

fn data(server: &RunningServer) -> InstanceData {
    server.stats().remove(0).data.unwrap()
}

fn endpoint(server: &RunningServer) -> EndpointData {
    let endpoint = server.stats().remove(0).endpoints.remove(0);
    endpoint.data.unwrap()
}

fn events(server: &RunningServer) -> EventData {
    data(server).events.remove(0)
}

async fn failing_calls(carrier: Carrier, load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let server = serve(&carrier.bus).await;
    let client: GreeterClient = carrier.bus.client();
    let request = HelloRequest {
        name: "/no/such/file".to_owned(),
    };
    let calls = futures_util::stream::iter(0..load.times());
    let calls = calls.map(|_| {
        client
            .say_hello(request.clone())
            .timeout(LIMIT)
            .into_future()
    });
    let failed = calls
        .buffer_unordered(64)
        .filter(|reply| std::future::ready(reply.is_err()));
    assert_eq!(failed.count().await as u64, load.times());
    assert_eq!(server.stats()[0].endpoints[0].num_errors, load.times());
    flood
        .end(
            server,
            "a call failed by an internal error",
            METHOD,
            load.times(),
        )
        .await;
}

async fn failing_event_handlers(carrier: Carrier, load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let server = serve_events(&carrier.bus, TradeHandler::Fails).await;
    for number in 0..load.times() {
        carrier.bus.publish(&trade("v", "s", number)).await.unwrap();
    }
    until(|| events(&server).failed == load.times()).await;
    let field = "event=\"market.v1.Trade\"";
    flood
        .end(
            server,
            "the handler of an event failed",
            field,
            load.times(),
        )
        .await;
}

async fn undecodable_events(carrier: Carrier, load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let server = serve_events(&carrier.bus, TradeHandler::Fails).await;
    for _ in 0..load.times() {
        carrier
            .bus
            .publish_raw(SUBJECT, &b"\xff\xff"[..])
            .await
            .unwrap();
    }
    until(|| events(&server).undecodable == load.times()).await;
    let field = "event=\"market.v1.Trade\"";
    flood
        .end(server, "an event cannot be read", field, load.times())
        .await;
}

/// Those of a stream that the program reads by itself.
async fn undecodable_events_of_a_reader(carrier: Carrier, load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let mut trades = carrier
        .bus
        .subscribe::<Trade>(TradeFilter::default())
        .open()
        .await
        .unwrap();
    for _ in 0..load.times() {
        carrier
            .bus
            .publish_raw(SUBJECT, &b"\xff\xff"[..])
            .await
            .unwrap();
        trades.next().await.unwrap().unwrap_err();
    }
    assert_eq!(trades.undecodable(), load.times());
    let text = "an event cannot be read";
    flood.wait_for_the_last(text, load.times()).await;
    drop(trades);
    flood.check(text, "event=\"market.v1.Trade\"", load.times());
}

async fn slow_event_handlers(carrier: Carrier, load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let server = serve_events(&carrier.bus, TradeHandler::Waits).await;
    for number in 0..load.times() {
        carrier.bus.publish(&trade("v", "s", number)).await.unwrap();
    }
    until(|| events(&server).received == load.times()).await;
    let dropped = events(&server).dropped;
    assert!(dropped >= load.times() - 2, "{dropped}");
    let text = "dropped an event: too many wait for the handler";
    flood.wait_for_the_last(text, dropped).await;
    // The rest of a stop has lines of its own.
    drop(server);
    until(|| flood.count(text) == dropped).await;
    flood.check(text, "event=\"market.v1.Trade\"", dropped);
}

/// Requests whose reply subject is one that only the service may publish to.
async fn hostile_requests(carrier: Carrier, load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let server = serve(&carrier.bus).await;
    match &carrier.nats {
        Some(nats) => {
            let peer = async_nats::connect(nats.url()).await.unwrap();
            for number in 0..load.times() {
                let reply = format!("orders.{number}");
                let sent = peer.publish_with_reply(METHOD, reply, Bytes::new());
                sent.await.unwrap();
            }
            peer.flush().await.unwrap();
        }
        None => panic!("in process `Faults` are needed"),
    }
    until(|| endpoint(&server).dropped == load.times()).await;
    let text = "its reply subject is outside the allowed prefixes";
    flood.end(server, text, METHOD, load.times()).await;
}

async fn forged_requests(load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let (bus, faults) = Bus::in_process_with_faults(7);
    let server = serve(&bus).await;
    for number in 0..load.times() {
        let forgery = micro_runtime::faults::Forgery::new();
        faults.forge(METHOD, &forgery.reply_to(&format!("orders.{number}")));
        if number % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until(|| endpoint(&server).dropped == load.times()).await;
    let text = "its reply subject is outside the allowed prefixes";
    flood.end(server, text, METHOD, load.times()).await;
}

/// NATS reports a part of them: the client library drops errors of a burst. What it has reported is counted.
async fn refused_replies_over_nats(load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let nats = NatsServer::builder().config(MUTE_SERVICE).start();
    let nats = nats.await.unwrap();
    let options = ConnectOptions::new()
        .user_and_password("service", "service")
        .inbox_prefix("_INBOX.service");
    let bus = Bus::connect_with(options, nats.url()).await.unwrap();
    let server = serve(&bus).await;
    let peer = async_nats::ConnectOptions::with_user_and_password("peer".into(), "peer".into());
    let peer = peer.connect(nats.url()).await.unwrap();
    for number in 0..load.times() {
        let reply = format!("_INBOX.peer.{number}");
        let sent = peer.publish_with_reply(METHOD, reply, Bytes::new());
        sent.await.unwrap();
    }
    peer.flush().await.unwrap();
    until(|| server.stats()[0].endpoints[0].num_requests == load.times()).await;
    bus.flush().await.unwrap();
    let refused = settled(|| data(&server).refused_replies).await;
    assert!(refused >= FEW / 10, "{refused}");
    let text = "replies of this server are lost";
    flood.wait_for_the_last(text, refused).await;
    server.shutdown().await.unwrap();
    drop(bus);
    until(|| flood.count(text) == refused).await;
    flood.check(text, "publish to `_INBOX.peer.", refused);
}

async fn refused_replies_in_process(load: FloodLoad) {
    let flood = LogFlood::begin(load);
    let (bus, faults) = Bus::in_process_with_faults(7);
    let server = serve(&bus).await;
    faults.refuse_publish("_INBOX.peer.>");
    for number in 0..load.times() {
        let forgery = micro_runtime::faults::Forgery::new();
        faults.forge(METHOD, &forgery.reply_to(&format!("_INBOX.peer.{number}")));
        if number % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until(|| data(&server).refused_replies == load.times()).await;
    assert_eq!(data(&server).refused, load.times());
    let text = "replies of this server are lost";
    flood.wait_for_the_last(text, load.times()).await;
    server.shutdown().await.unwrap();
    drop((bus, faults));
    flood.check(text, "publish to `_INBOX.peer.", load.times());
}

/// Returns a count once it no longer grows.
async fn settled(count: impl Fn() -> u64) -> u64 {
    loop {
        let before = count();
        tokio::time::sleep(Duration::from_millis(500)).await; // sleep: nothing tells that no error of NATS follows
        if count() == before {
            return before;
        }
    }
}

macro_rules! floods {
    ($($name:ident: $($kind:expr),+;)*) => {$(
        #[tokio::test]
        async fn $name() {
            within(LIMIT, async { $($kind(FloodLoad::Stopped).await;)+ }).await;
        }
    )*

        async fn all(load: FloodLoad, limit: Duration) {
            $($(within(limit, $kind(load)).await;)+)*
        }
    };
}

/// It prints the number of lines of each kind, and the last.
#[tokio::test]
#[ignore = "slow: cargo xtask test --slow log-floods"]
async fn fifty_thousand_of_each() {
    all(FloodLoad::Left, SLOW_LIMIT).await;
}

floods! {
    failing_calls_are_a_few_lines_with_the_count:
        async |load| failing_calls(Carrier::in_process().await, load).await,
        async |load| failing_calls(Carrier::nats().await, load).await;
    failing_event_handlers_are_a_few_lines_with_the_count:
        async |load| failing_event_handlers(Carrier::in_process().await, load).await,
        async |load| failing_event_handlers(Carrier::nats().await, load).await;
    undecodable_events_are_a_few_lines_with_the_count:
        async |load| undecodable_events(Carrier::in_process().await, load).await,
        async |load| undecodable_events(Carrier::nats().await, load).await,
        async |load| undecodable_events_of_a_reader(Carrier::in_process().await, load).await;
    slow_event_handlers_are_a_few_lines_with_the_count:
        async |load| slow_event_handlers(Carrier::in_process().await, load).await,
        async |load| slow_event_handlers(Carrier::nats().await, load).await;
    hostile_requests_are_a_few_lines_with_the_count:
        forged_requests,
        async |load| hostile_requests(Carrier::nats().await, load).await;
    refused_replies_are_a_few_lines_with_the_count:
        refused_replies_in_process,
        refused_replies_over_nats;
}
