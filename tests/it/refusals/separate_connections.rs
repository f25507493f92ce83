//! Refusals where serving, calling and durable consuming have connections apart: NATS reports each to one connection,
//! and it ends what it concerns there, and nothing of the others.

use std::time::Duration;

use futures_util::FutureExt as _;
use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, ConnectOptions, ErrorKind, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, Pair};
use micro_tests::market::Trade;

use super::trade_taker::TradeTaker;
use super::users::{ALL, User, check_refused, check_status, config};
use crate::durable::market::{market_stream, trade};
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

fn users(subscribe: &[&str], denied: &[&str]) -> String {
    let service = User::new("service", subscribe, ALL).denied(denied);
    config(&[User::any("owner"), service])
}

/// Starts JetStream with a user who may not publish to `denied`; returns its bus with connections apart, and that of an
/// owner.
async fn start(denied: &[&str]) -> (NatsServer, Bus, Bus) {
    let nats = NatsServer::builder()
        .jetstream()
        .config(&users(ALL, denied));
    let nats = nats.start().await.unwrap();
    let connect = async |name: &str| {
        let options = ConnectOptions::new()
            .user_and_password(name, name)
            .inbox_prefix(format!("_INBOX.{name}"))
            .separate_connections();
        Bus::connect_with(options, nats.url()).await.unwrap()
    };
    let owner = connect("owner").await;
    owner.declare(&market_stream()).await.unwrap();
    let bus = connect("service").await;
    (nats, bus, owner)
}

async fn serve(bus: &Bus) -> RunningServer {
    let service = BehaviorServer::new(BehaviorHandler::default());
    Server::new(bus).add(service).start().await.unwrap()
}

async fn consume(bus: &Bus) -> RunningServer {
    let server = Server::new(bus).subscribe::<Trade>(TradeTaker, Durable::named("rec"));
    server.start().await.unwrap()
}

/// Checks that a server serves the owner, and has not stopped.
async fn check_serves(server: &mut RunningServer, owner: &Bus) {
    let client: BehaviorClient = owner.client();
    client.echo(Blob::default()).await.unwrap();
    assert!(server.stopped().now_or_never().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_calls_and_events_end_at_their_publisher() {
    within(LIMIT, async {
        let denied = ["behavior.v1.Behavior.Swap", "evt.secret", "evt.market.>"];
        let (_nats, bus, owner) = start(&denied).await;
        let mut server = serve(&bus).await;
        let client: BehaviorClient = bus.client();
        let named = "publish to `behavior.v1.Behavior.Swap`";
        check_refused(client.swap(Pair::default()), named).await;
        check_refused(bus.publish_durable(&trade(1)), "publish to `evt.market.").await;
        assert_eq!(bus.refused_events(), 0);
        bus.publish_raw("evt.secret", "x").await.unwrap();
        until(|| bus.refused_events() == 1).await;
        // Those that follow a refusal are counted, too.
        for _ in 0..10 {
            bus.publish_raw("evt.secret", "x").await.unwrap();
        }
        until(|| bus.refused_events() == 11).await;
        client.echo(Blob::default()).await.unwrap();
        check_serves(&mut server, &owner).await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Of a reply, which the server counts, and no event does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_replies_are_those_of_the_server() {
    within(LIMIT, async {
        let (_nats, bus, owner) = start(&["_INBOX.owner.>"]).await;
        let mut server = serve(&bus).await;
        let client: BehaviorClient = owner.client();
        let call = client.echo(Blob::default());
        call.timeout(Duration::from_millis(100)).await.unwrap_err();
        let refused = || {
            let stats = server.stats().remove(0);
            stats.data.unwrap().refused_replies
        };
        until(|| refused() > 0).await;
        assert_eq!(bus.refused_events(), 0);
        let own: BehaviorClient = bus.client();
        own.echo(Blob::default()).await.unwrap();
        assert!(server.stopped().now_or_never().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_pulls_and_acknowledgments_are_those_of_the_consumer() {
    within(LIMIT, async {
        for (denied, named) in [
            (
                "$JS.API.CONSUMER.MSG.NEXT.MARKET.rec",
                "publish to `$JS.API.CONSUMER.MSG.NEXT.",
            ),
            ("$JS.ACK.>", "publish to `$JS.ACK."),
        ] {
            let (_nats, bus, owner) = start(&[denied]).await;
            let mut server = serve(&bus).await;
            let consumer = consume(&bus).await;
            bus.publish_durable(&trade(1)).await.unwrap();
            until(|| consumer.events()[0].refused > 0).await;
            let status = consumer.events().remove(0).last_error.unwrap();
            check_status(&status, named);
            assert_eq!(bus.refused_events(), 0, "{denied}");
            let client: BehaviorClient = bus.client();
            client.echo(Blob::default()).await.unwrap();
            check_serves(&mut server, &owner).await;
        }
    })
    .await;
}

/// The server stops, as it does on one connection; calls and durable consuming go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_subject_stops_its_server_alone() {
    within(LIMIT, async {
        let (mut nats, bus, owner) = start(&[]).await;
        let _other = serve(&owner).await;
        let mut server = serve(&bus).await;
        let mut consumer = consume(&bus).await;
        let kept = ["_INBOX.service.*.>", "_INBOX.service.*"];
        nats.reload(&users(&kept, &[])).unwrap();
        let error = server.stopped().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        let client: BehaviorClient = bus.client();
        client.echo(Blob::default()).await.unwrap();
        owner.publish_durable(&trade(1)).await.unwrap();
        until(|| consumer.events()[0].handled == 1).await;
        assert!(consumer.stopped().now_or_never().is_none());
        let refused = bus.subscribe_raw("evt.any").open().await;
        assert_eq!(refused.err().unwrap().kind(), ErrorKind::Permission);
        let started = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let error = started.start().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    })
    .await;
}
