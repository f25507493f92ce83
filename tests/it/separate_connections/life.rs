//! The life of connections apart: names, a loss of one and of all, readiness, flush, close, and a connect that fails.

use std::process::Command;

use micro_runtime::{Bus, ConnectOptions, ConnectionState, ErrorKind, Reason, Server};
use micro_testkit::{Process, Proxy, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob, WaitRequest};

use super::attack::{Attacked, until_whole};
use super::system::start_nats;
use super::{LIMIT, connect};
use crate::durable::market::publish_trades;
use crate::round_trip::round_trip;
use crate::server_process::{PROCESS_TIMEOUT, stop_process};
use crate::until::until;

const NAMES: [&str; 4] = [
    "apart/calling",
    "apart/consuming",
    "apart/replying",
    "apart/serving",
];

#[tokio::test]
async fn names_tell_the_connections_apart() {
    within(LIMIT, async {
        let (nats, system) = start_nats("").await;
        let bus = connect(nats.url()).await;
        system.until_names(&NAMES).await;
        drop(bus);
        system.until_names(&[]).await;
        let options = ConnectOptions::new().name("together");
        let _bus = Bus::connect_with(options, nats.url()).await.unwrap();
        system.until_names(&["together"]).await;
    })
    .await;
}

#[tokio::test]
async fn the_environment_separates_connections() {
    within(LIMIT, async {
        let (nats, system) = start_nats("").await;
        for (value, count) in [("true", 4), ("false", 1), ("", 1)] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_behavior-server"));
            command.env("NATS_URL", nats.url());
            command.env("MICRO_SEPARATE_CONNECTIONS", value);
            let process = Process::spawn(command).unwrap();
            process
                .wait_for_line("ready", PROCESS_TIMEOUT)
                .await
                .unwrap();
            let names = system.names().await;
            assert_eq!(names.len(), count, "{value}: {names:?}");
            let roles = names.iter().filter(|name| name.contains('/'));
            assert_eq!(roles.count(), if count == 4 { 4 } else { 0 }, "{names:?}");
            stop_process(process).await;
            system.until_names(&[]).await;
        }
    })
    .await;
}

/// A connection lives as long as something uses it: a server all, a client its own.
#[tokio::test]
async fn a_server_keeps_all_connections_and_a_client_its_own() {
    within(LIMIT, async {
        let (nats, system) = start_nats("").await;
        let bus = connect(nats.url()).await;
        let server = Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::default()));
        let server = server.start().await.unwrap();
        let mut states = bus.states();
        let client: BehaviorClient = bus.client();
        drop(bus);
        assert_eq!(states.next().await, Some(ConnectionState::Connected));
        system.until_names(&NAMES).await;
        server.shutdown().await.unwrap();
        system.until_names(&NAMES[..1]).await;
        drop(client);
        assert_eq!(states.next().await, Some(ConnectionState::Closed));
        assert_eq!(states.next().await, None);
    })
    .await;
}

/// Each connection is away for a while, and the work of the others goes on.
#[expect(
    clippy::too_many_lines,
    reason = "what works and what does not, for each connection in turn"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_away_leaves_the_others_and_shows_in_state_and_readiness() {
    within(LIMIT, async {
        let (nats, system) = start_nats("").await;
        let proxy = Proxy::start(nats.port()).await.unwrap();
        let bus = connect(proxy.url()).await;
        let attacked = Attacked::start(&nats, bus, LIMIT).await;
        let (bus, others) = (&attacked.bus, &attacked.others);
        let [outgoing, incoming] = [attacked.outgoing(), attacked.incoming()];
        let handled = |count| {
            let recorder = &attacked.recorder;
            recorder.wait_for(move |recorder| recorder.succeeded().len() == count)
        };
        // A handler calls its own process: requests go out on one connection and come in on another.
        let relayed = incoming.relay(WaitRequest { milliseconds: 1 });
        relayed.await.unwrap();
        let mut states = bus.states();
        assert_eq!(states.next().await, Some(ConnectionState::Connected));
        for (number, role) in (1..).zip(["serving", "calling", "replying", "consuming"]) {
            assert!(attacked.is_ready());
            proxy.ignore_new();
            system.kick(&format!("apart/{role}")).await;
            assert_eq!(states.next().await, Some(ConnectionState::Disconnected));
            assert_eq!(bus.state(), ConnectionState::Disconnected);
            assert!(!attacked.is_ready());
            let error = bus.flush().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect, "{error}");

            let called = outgoing.echo(Blob::default()).await;
            let served = incoming.echo(Blob::default()).await;
            publish_trades(others, [number]).await;
            match role {
                "serving" => {
                    called.unwrap();
                    let status = served.unwrap_err();
                    assert_eq!(status.reason(), Some(Reason::NoResponders), "{status}");
                    // A call that waits for the connection waits for its own.
                    outgoing
                        .echo(Blob::default())
                        .wait_for_ready()
                        .await
                        .unwrap();
                }
                "calling" => {
                    let status = called.unwrap_err();
                    assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
                    served.unwrap();
                    let health = others.nats().unwrap();
                    let health = health.request(attacked.served("_health"), "".into()).await;
                    assert_eq!(&health.unwrap().payload[..], [8, 2], "it reports SERVING");
                }
                // Replies go out where requests come in.
                "replying" => {
                    called.unwrap();
                    served.unwrap();
                }
                _ => {
                    called.unwrap();
                    served.unwrap();
                    publish_trades(bus, [100]).await;
                }
            }
            if role != "consuming" {
                handled(usize::try_from(number).unwrap()).await;
            }
            proxy.release();
            assert_eq!(states.next().await, Some(ConnectionState::Connected));
            until_whole(&attacked).await;
        }
        handled(5).await;
        assert_eq!(attacked.recorder.attempts().len(), 5);
        bus.flush().await.unwrap();
        attacked.shut_down().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_after_a_restart_and_the_states_are_those_of_one() {
    within(LIMIT, async {
        let (mut nats, _) = start_nats("").await;
        let bus = connect(nats.url()).await;
        let attacked = Attacked::start(&nats, bus, LIMIT).await;
        let mut states = attacked.bus.states();
        assert_eq!(states.next().await, Some(ConnectionState::Connected));
        let mut events = attacked.bus.subscribe_raw("evt.any").open().await.unwrap();
        for round in 1..=3 {
            nats.kill().unwrap();
            assert_eq!(states.next().await, Some(ConnectionState::Disconnected));
            until(|| !attacked.is_ready()).await;
            nats.restart().await.unwrap();
            // Two that are lost or back later are no further change, but for one that was away in between.
            assert_eq!(states.next().await, Some(ConnectionState::Connected));
            until_whole(&attacked).await;
            publish_trades(&attacked.bus, [round]).await;
            let all = |count| {
                attacked
                    .recorder
                    .wait_for(move |one| one.succeeded().len() == count)
            };
            all(usize::try_from(round).unwrap()).await;
            attacked.others.publish_raw("evt.any", "new").await.unwrap();
            assert_eq!(events.next().await.unwrap().payload, "new");
        }
        attacked.shut_down().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_flushes_and_closes_all() {
    within(LIMIT, async {
        const EVENTS: usize = 10_000;
        let (nats, system) = start_nats("").await;
        let bus = connect(nats.url()).await;
        let options = ConnectOptions::new().name("others");
        let others = Bus::connect_with(options, nats.url()).await.unwrap();
        let mut events = others.subscribe_raw("evt.any").open().await.unwrap();
        let mut closing = bus.subscribe_raw("evt.none").open().await.unwrap();
        let mut states = bus.states();
        assert_eq!(states.next().await, Some(ConnectionState::Connected));
        for _ in 0..EVENTS {
            bus.publish_raw("evt.any", "x").await.unwrap();
        }
        bus.close().await.unwrap();
        for _ in 0..EVENTS {
            events.next().await.unwrap();
        }
        assert_eq!(states.next().await, Some(ConnectionState::Closed));
        assert_eq!(states.next().await, None);
        assert!(closing.next().await.is_none());
        let client: BehaviorClient = bus.client();
        let status = client.echo(Blob::default()).await.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
        assert!(bus.subscribe_raw("evt.any").open().await.is_err());
        bus.close().await.unwrap();
        system.until_names(&["others"]).await;
    })
    .await;
}

/// Behind what has arrived, and whether it is read or not: the physical connection ends in any case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_subscriptions_end_when_their_bus_is_closed() {
    within(LIMIT, async {
        let (nats, system) = start_nats("").await;
        let check = async |bus: Bus| {
            let open = || bus.subscribe_raw("evt.any").open();
            let [mut waiting, mut read, _unread] =
                [open().await, open().await, open().await].map(Result::unwrap);
            let waiting = tokio::spawn(async move {
                let mut count = 0;
                while waiting.next().await.is_some() {
                    count += 1;
                }
                count
            });
            for _ in 0..10 {
                bus.publish_raw("evt.any", "x").await.unwrap();
            }
            // The last one has come to all.
            let mut last = open().await.unwrap();
            bus.publish_raw("evt.any", "x").await.unwrap();
            last.next().await.unwrap();
            bus.close().await.unwrap();
            assert_eq!(waiting.await.unwrap(), 11);
            for _ in 0..11 {
                read.next().await.unwrap();
            }
            assert!(read.next().await.is_none());
            system.until_names(&[]).await;
        };
        check(Bus::in_process()).await;
        check(Bus::connect(nats.url()).await.unwrap()).await;
        check(connect(nats.url()).await).await;
    })
    .await;
}

/// A client of the user is not closed with the bus over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_the_user_outlives_the_close_of_its_bus() {
    within(LIMIT, async {
        let (nats, system) = start_nats("").await;
        let options = async_nats::ConnectOptions::new().name("own");
        let client = options.connect(nats.url()).await.unwrap();
        let bus = Bus::from_nats(client.clone()).await.unwrap();
        let mut events = bus.subscribe_raw("evt.any").open().await.unwrap();
        bus.close().await.unwrap();
        assert!(events.next().await.is_none());
        round_trip(&client).await;
        system.until_names(&["own"]).await;
    })
    .await;
}

/// A limit that has room for one more leaves none behind.
#[tokio::test]
async fn a_connect_that_gets_not_all_connections_fails_and_keeps_none() {
    within(LIMIT, async {
        // The system client is the first.
        let (nats, system) = start_nats("max_connections: 3").await;
        let options = ConnectOptions::new().separate_connections();
        let error = Bus::connect_with(options, nats.url()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(
            error.to_string().contains("takes no more connections"),
            "{error:?}"
        );
        system.until_names(&[]).await;
        Bus::connect(nats.url()).await.unwrap();
    })
    .await;
}
