//! Buses over a client of async-nats that the user has made: what they see of its connection, and what they do not.

use std::future::IntoFuture as _;
use std::time::Duration;

use async_nats::ConnectOptions;
use micro_runtime::{Bus, ConnectionState, Reason, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};

use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

async fn bus_of_user(options: ConnectOptions, url: String) -> Bus {
    let client = options.connect(url).await.unwrap();
    Bus::from_nats(client).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_with_the_connection_and_go_on_with_the_next_one() {
    let mut nats = NatsServer::start().await.unwrap();
    let bus = bus_of_user(ConnectOptions::new(), nats.url()).await;
    let handler = BehaviorHandler::on(&bus);
    let server = Server::new(&bus).add(BehaviorServer::new(handler.clone()));
    let _server = server.start().await.unwrap();
    let client: BehaviorClient = bus.client();
    client.echo(Blob::default()).await.unwrap();
    let waiting = client.wait(BehaviorHandler::UNTIL_RELEASED).timeout(LIMIT);
    let waiting = tokio::spawn(waiting.into_future());
    until(|| handler.started() == 1).await;
    nats.kill().unwrap();
    let ended = within(LIMIT, waiting).await.unwrap().unwrap_err();
    assert_eq!(ended.reason(), Some(Reason::Disconnected), "{ended}");
    assert_eq!(bus.state(), ConnectionState::Disconnected);
    assert!(bus.nats().is_none());
    let status = client.echo(Blob::default()).await.unwrap_err();
    assert_eq!(status.reason(), Some(Reason::Disconnected), "{status}");
    nats.restart().await.unwrap();
    let call = client.echo(Blob::default()).wait_for_ready().timeout(LIMIT);
    call.await.unwrap();
}

/// As its documentation states: errors of NATS go to the event callback of the user.
#[tokio::test]
async fn what_nats_refuses_is_not_seen() {
    let users = r#"authorization { users = [
        { user: ada, password: s, permissions: { publish: { deny: "evt.>" }, subscribe: { deny: "behavior.>" } } }
    ] }"#;
    let nats = NatsServer::builder().config(users).start().await.unwrap();
    let options = ConnectOptions::with_user_and_password("ada".into(), "s".into());
    let server = |bus: &Bus| Server::new(bus).add(BehaviorServer::new(BehaviorHandler::on(bus)));
    let of_user = bus_of_user(options, nats.url()).await;
    let _server = server(&of_user).start().await.unwrap();
    let own = Bus::connect(nats.url_as("ada", "s")).await.unwrap();
    server(&own).start().await.unwrap_err();
    for bus in [&own, &of_user] {
        bus.publish_raw("evt.a", "x").await.unwrap();
    }
    until(|| own.refused_events() == 1).await;
    // NATS has processed the event, and reported what it refuses.
    of_user.flush().await.unwrap();
    assert_eq!(of_user.refused_events(), 0);
    of_user.close().await.unwrap();
}
