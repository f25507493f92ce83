//! Streams to one instance, under a prefix, across accounts, and with restricted permissions.

use std::time::Duration;

use futures_util::future::join_all;
use micro_runtime::{
    Bus, ClientOptions, ConnectOptions, Reason, Server, ServiceOptions, Status, StreamOptions,
};
use micro_testkit::{NatsServer, within};
use micro_tests::StreamsHandler;
use micro_tests::streams::{StreamsClient, StreamsServer, Summary};

use super::fixture::StreamsFixture;
use super::items::{count, expect_items, item, sized_item};
use crate::carriers::{Carrier, on_both_carriers_and_paused};
use crate::until::until;

on_both_carriers_and_paused! {
    streams_to_one_instance
    streams_under_a_prefix
}

/// Calls every method, with small messages and with messages in parts, and drops one stream midway.
async fn check_every_kind(client: &StreamsClient, handler: &StreamsHandler) {
    let mut items = client.count(count(10_000, "")).await.unwrap();
    expect_items(&mut items, 10_000).await;
    let mut collect = client.collect().open().await.unwrap();
    for number in 0..10 {
        collect.send(sized_item(number, 500_000)).await.unwrap();
    }
    assert_eq!(collect.finish().await.unwrap().bytes, 5_000_000);
    let (mut sender, mut echoes) = client.echo().open().await.unwrap();
    for number in 0..100 {
        sender.send(item(number)).await.unwrap();
        assert_eq!(echoes.message().await.unwrap().unwrap().number, number);
    }
    sender.finish().await.unwrap();
    assert!(echoes.message().await.unwrap().is_none());
    let reply = client.repeat(sized_item(2, 1_500_000)).await.unwrap();
    assert_eq!(reply.data.len(), 3_000_000);
    until(|| handler.live_calls() == 0).await;
    let mut dropped = client.count(count(u64::MAX, "")).await.unwrap();
    dropped.message().await.unwrap().unwrap();
    drop(dropped);
    until(|| handler.live_calls() == 0).await;
}

async fn streams_to_one_instance(carrier: Carrier) {
    let start = async |bus: Bus, instance: &str| {
        let handler = StreamsHandler::default();
        let options = ServiceOptions::new().instance(instance);
        let service = StreamsServer::new(handler.clone());
        let server = Server::new(&bus).add_with(service, options);
        (server.start().await.unwrap(), handler)
    };
    let (_first, first) = start(carrier.another_bus().await, "first").await;
    // Two instances on one bus in a process would share a connection, so each has its own bus.
    let second_bus = carrier.another_bus().await;
    let (_second, second) = match carrier.nats {
        Some(_) => start(second_bus, "second").await,
        None => start(second_bus.with_prefix("other").unwrap(), "second").await,
    };
    let client: StreamsClient = carrier
        .bus
        .client_with(ClientOptions::new().instance("first"));
    check_every_kind(&client, &first).await;
    assert!(first.items_made() > 0 && first.items_taken() > 0);
    assert_eq!((second.items_made(), second.items_taken()), (0, 0));
    let unknown: StreamsClient = carrier
        .bus
        .client_with(ClientOptions::new().instance("third"));
    unknown.echo().no_retry().open().await.unwrap_err();
}

async fn streams_under_a_prefix(carrier: Carrier) {
    let bus = carrier.bus.clone().with_prefix("eu.staging").unwrap();
    let fixture = StreamsFixture::start(&bus).await;
    check_every_kind(&fixture.client, &fixture.handler).await;
    let outside: StreamsClient = carrier.bus.client();
    outside.echo().open().await.unwrap_err();
    fixture.wait_until_idle().await;
}

async fn connect(nats: &NatsServer, user: &str) -> Bus {
    let options = ConnectOptions::new()
        .user_and_password(user, "p")
        .inbox_prefix(format!("_INBOX.{user}"));
    Bus::connect_with(options, nats.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_across_accounts_with_a_mapped_subject() {
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
        let fixture = StreamsFixture::start(&connect(&nats, "provider").await).await;
        let consumer = connect(&nats, "consumer").await;
        let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
        let options = ClientOptions::new()
            .subject_base("acme.numbers")
            .stream_options(options);
        let client: StreamsClient = consumer.client_with(options.clone());
        check_every_kind(&client, &fixture.handler).await;
        let instance = &fixture.server.instances()[0];
        let one: StreamsClient = consumer.client_with(options.instance(instance));
        check_every_kind(&one, &fixture.handler).await;
        let plain: StreamsClient = consumer.client();
        plain.echo().open().await.unwrap_err();
        // Idle for longer than either end waits for a heartbeat.
        let mut idle = client.count(count(1, "wait")).await.unwrap();
        idle.message().await.unwrap().unwrap();
        let (mut sender, mut echoes) = client.echo().open().await.unwrap();
        // sleep: the idle time.
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        sender.send(item(7)).await.unwrap();
        assert_eq!(echoes.message().await.unwrap().unwrap().number, 7);
        // The provider is gone: the client's heartbeats have no responder.
        drop((fixture.server, sender));
        idle.message().await.unwrap_err();
    })
    .await;
}

/// NATS may map the subjects of a service by weight to those of another one, as of a canary. Unary calls in one message
/// go to either. The frames of a stream that is accepted behind the mapping reach no server, or one half of them each
/// server: it ends with an error, and none is taken for whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_with_subjects_mapped_by_weight() {
    within(Duration::from_secs(60), async {
        for (pattern, rest) in [("*", "$1"), (">", ">")] {
            let service = "streams.v1.Streams";
            let config = format!(
                r#"mappings = {{ "{service}.{pattern}": [
                  {{ destination: "{service}.{rest}", weight: 50% }},
                  {{ destination: "canary.{service}.{rest}", weight: 50% }}
                ] }}"#
            );
            let nats = NatsServer::builder().config(&config).start().await.unwrap();
            let bus = Bus::connect(nats.url()).await.unwrap();
            let canary = bus.clone().with_prefix("canary").unwrap();
            let stable = StreamsFixture::start(&bus).await;
            let canary = StreamsFixture::start(&canary).await;
            let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
            let client: StreamsClient =
                bus.client_with(ClientOptions::new().stream_options(options));
            let calls = (0..32).map(|_| collect_hundred(&client));
            let mut failed = 0;
            for summary in join_all(calls).await {
                match summary {
                    Ok(summary) => assert_eq!((summary.messages, summary.is_in_order), (100, true)),
                    Err(status) => {
                        let reason = status.reason();
                        let expected = [Some(Reason::PeerGone), Some(Reason::FramesLost)];
                        assert!(expected.contains(&reason), "{status}");
                        failed += 1;
                    }
                }
            }
            assert!(failed > 0, "the mapping has no effect");
            for number in 0..32 {
                client.repeat(item(number)).await.unwrap();
            }
            for fixture in [stable, canary] {
                fixture.handler.wait_until_idle().await;
            }
        }
    })
    .await;
}

/// Sends a hundred items, each in a frame of its own.
async fn collect_hundred(client: &StreamsClient) -> Result<Summary, Status> {
    let mut items = client.collect().open().await?;
    for number in 0..100 {
        items.send(item(number)).await?;
        tokio::task::yield_now().await;
    }
    items.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documented_permissions_suffice_for_streams() {
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
        let fixture = StreamsFixture::start(&connect(&nats, "service").await).await;
        let callers = connect(&nats, "client").await;
        check_every_kind(&callers.client(), &fixture.handler).await;
        let options = StreamOptions::new().heartbeat(Duration::from_secs(1));
        let client: StreamsClient =
            callers.client_with(ClientOptions::new().stream_options(options));
        let mut idle = client.count(count(1, "wait")).await.unwrap();
        idle.message().await.unwrap().unwrap();
        // sleep: longer than either end waits for a heartbeat.
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        drop(fixture.server);
        idle.message().await.unwrap_err();
    })
    .await;
}
