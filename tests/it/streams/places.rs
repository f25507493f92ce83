//! Streams where subjects are not the plain ones: accounts, instances, prefixes, permissions.

use std::time::Duration;

use micro_runtime::{Bus, ClientOptions, ConnectOptions, Server, ServiceOptions, StreamOptions};
use micro_testkit::{NatsServer, within};
use micro_tests::StreamsHandler;
use micro_tests::streams::{StreamsClient, StreamsServer};

use super::statuses::complete;
use super::{Scene, count, heavy, item, until};
use crate::carriers::{World, on_both_carriers};

on_both_carriers! {
    streams_of_one_instance
    streams_under_a_prefix
}

/// Every kind, small and in parts, and what is dropped half way.
async fn every_kind(client: &StreamsClient, handler: &StreamsHandler) {
    let mut items = client.count(count(10_000, "")).await.unwrap();
    complete(&mut items, 10_000).await;
    let mut collect = client.collect().open().await.unwrap();
    for number in 0..10 {
        collect.send(heavy(number, 500_000)).await.unwrap();
    }
    assert_eq!(collect.finish().await.unwrap().bytes, 5_000_000);
    let (mut sender, mut echoes) = client.echo().open().await.unwrap();
    for number in 0..100 {
        sender.send(item(number)).await.unwrap();
        assert_eq!(echoes.message().await.unwrap().unwrap().number, number);
    }
    sender.finish().await.unwrap();
    assert!(echoes.message().await.unwrap().is_none());
    let reply = client.repeat(heavy(2, 3_000_000)).await.unwrap();
    assert_eq!(reply.data.len(), 6_000_000);
    until(|| handler.live_calls() == 0).await;
    let mut dropped = client.count(count(u64::MAX, "")).await.unwrap();
    dropped.message().await.unwrap().unwrap();
    drop(dropped);
    until(|| handler.live_calls() == 0).await;
}

async fn streams_of_one_instance(world: World) {
    let start = async |bus: Bus, instance: &str| {
        let handler = StreamsHandler::default();
        let options = ServiceOptions::new().instance(instance);
        let service = StreamsServer::new(handler.clone());
        let server = Server::new(&bus).add_with(service, options);
        (server.start().await.unwrap(), handler)
    };
    let (_first, first) = start(world.another_bus().await, "first").await;
    // Two of one process share a connection only on different buses.
    let second_bus = world.another_bus().await;
    let (_second, second) = match world.nats {
        Some(_) => start(second_bus, "second").await,
        None => start(second_bus.with_prefix("other").unwrap(), "second").await,
    };
    let client: StreamsClient = world
        .bus
        .client_with(ClientOptions::new().instance("first"));
    every_kind(&client, &first).await;
    assert!(first.items_made() > 0 && first.items_taken() > 0);
    assert_eq!((second.items_made(), second.items_taken()), (0, 0));
    let nobody: StreamsClient = world
        .bus
        .client_with(ClientOptions::new().instance("third"));
    nobody.echo().no_retry().open().await.unwrap_err();
}

async fn streams_under_a_prefix(world: World) {
    let bus = world.bus.clone().with_prefix("eu.staging").unwrap();
    let scene = Scene::on(&bus).await;
    every_kind(&scene.client, &scene.handler).await;
    let outside: StreamsClient = world.bus.client();
    outside.echo().open().await.unwrap_err();
    scene.quiet().await;
}

async fn connect(nats: &NatsServer, user: &str) -> Bus {
    let options = ConnectOptions::new()
        .user_and_password(user.to_owned(), "p".to_owned())
        .custom_inbox_prefix(format!("_INBOX.{user}"));
    Bus::connect_with(options, nats.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_across_accounts_under_another_subject() {
    within(Duration::from_secs(40), async {
        let config = r#"accounts {
          provider: {
            users: [{ user: provider, password: p }]
            exports: [{ service: "streams.v1.Streams.>", response_type: stream }]
          }
          consumer: {
            users: [{ user: consumer, password: p }]
            imports: [{
              service: { account: provider, subject: "streams.v1.Streams.>" }
              to: "acme.numbers.>"
            }]
          }
        }
        "#;
        let nats = NatsServer::builder().config(config).start().await.unwrap();
        let scene = Scene::on(&connect(&nats, "provider").await).await;
        let consumer = connect(&nats, "consumer").await;
        let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
        let options = ClientOptions::new()
            .service_base("acme.numbers")
            .stream_options(options);
        let client: StreamsClient = consumer.client_with(options.clone());
        every_kind(&client, &scene.handler).await;
        let instance = &scene.server.instances()[0];
        let one: StreamsClient = consumer.client_with(options.instance(instance));
        every_kind(&one, &scene.handler).await;
        let plain: StreamsClient = consumer.client();
        plain.echo().open().await.unwrap_err();
        // Idle for longer than either end waits for a word.
        let mut idle = client.count(count(1, "wait")).await.unwrap();
        idle.message().await.unwrap().unwrap();
        let (mut sender, mut echoes) = client.echo().open().await.unwrap();
        // sleep: that is the time.
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        sender.send(item(7)).await.unwrap();
        assert_eq!(echoes.message().await.unwrap().unwrap().number, 7);
        // The provider is gone: whoever writes or asks learns of it.
        drop((scene.server, sender));
        idle.message().await.unwrap_err();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_permissions_of_the_protocol_are_enough_for_streams() {
    within(Duration::from_secs(40), async {
        let config = r#"authorization { users = [
          { user: service, password: p, permissions: {
            subscribe: { allow: [
              "streams.v1.Streams.* q", "streams.v1.Streams._i.*.>", "$SRV.*",
              "$SRV.*.streams-v1-Streams", "$SRV.*.streams-v1-Streams.*", "_INBOX.service.>",
              "streams.v1.Streams._schema q", "streams.v1.Streams._health q"
            ] }
            publish: { allow: ["_INBOX.>", "_R_.>", "_INBOX.service.>"] } } }
          { user: client, password: p, permissions: {
            subscribe: { allow: ["_INBOX.client.>"] }
            publish: { allow: ["streams.v1.Streams.>"] } } }
        ] }
        "#;
        let nats = NatsServer::builder().config(config).start().await.unwrap();
        let scene = Scene::on(&connect(&nats, "service").await).await;
        let callers = connect(&nats, "client").await;
        every_kind(&callers.client(), &scene.handler).await;
        let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
        let client: StreamsClient =
            callers.client_with(ClientOptions::new().stream_options(options));
        let mut idle = client.count(count(1, "wait")).await.unwrap();
        idle.message().await.unwrap().unwrap();
        // sleep: longer than either end waits for a word.
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        drop(scene.server);
        idle.message().await.unwrap_err();
    })
    .await;
}
