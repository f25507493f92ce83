//! JetStream of another domain, and under another prefix of its API.

use micro_runtime::jetstream::{Durable, StartFrom};
use micro_runtime::{Bus, ConnectOptions, ErrorKind, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;

use super::market::{TIMEOUT, market_stream, publish_trades};
use super::recorder::Recorder;

/// Uses everything of JetStream: declarations, publishing, a consumer with dead letters, a replay, lists.
async fn use_jetstream(bus: &Bus) {
    bus.declare(&market_stream()).await.unwrap();
    let recorder = Recorder::succeeding();
    let server = Server::new(bus)
        .declare(market_stream())
        .subscribe::<Trade>(recorder.clone(), Durable::named("rec").dead_letter())
        .start()
        .await
        .unwrap();
    publish_trades(bus, 1..=10).await;
    recorder
        .wait_for(|recorder| recorder.succeeded().len() == 10)
        .await;
    server.shutdown().await.unwrap();
    let replay = bus.replay::<Trade>().start_from(StartFrom::Sequence(10));
    let event = replay.open().await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(event.number, 10);
    loop {
        let consumers = bus.consumers("MARKET").await.unwrap();
        let rec = consumers.iter().find(|consumer| consumer.name == "rec");
        if rec.unwrap().settled == 10 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let streams = bus.streams().await.unwrap();
    assert_eq!(
        (streams[0].name.as_str(), streams[0].events),
        ("MARKET", 10)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_is_used_by_its_name() {
    within(TIMEOUT, async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let config = format!("jetstream {{ store_dir: {path:?}, domain: hub }}");
        let nats = NatsServer::builder().config(&config).start().await.unwrap();
        let options = || ConnectOptions::new().jetstream_domain("hub");
        let bus = Bus::connect_with(options(), nats.url()).await.unwrap();
        use_jetstream(&bus).await;
        bus.close().await.unwrap();
        let bus = Bus::connect_with(options().separate_connections(), nats.url())
            .await
            .unwrap();
        bus.declare(&market_stream()).await.unwrap();

        let options = ConnectOptions::new().jetstream_domain("elsewhere");
        let bus = Bus::connect_with(options, nats.url()).await.unwrap();
        let error = bus.declare(&market_stream()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::JetStream);
        let flawed = ConnectOptions::new().jetstream_domain("a.b");
        let error = Bus::connect_with(flawed, nats.url()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(
            error.to_string(),
            "`a.b` cannot be a domain of JetStream: it has a dot"
        );
    })
    .await;
}

/// An account that exports its JetStream, and another that imports it under a prefix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_reaches_the_jetstream_of_another_account() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder()
            .jetstream()
            .config(
                "accounts {
            OWNER {
                jetstream: enabled
                users: [{ user: owner, password: owner }]
                exports: [
                    { service: \"$JS.API.>\", response_type: stream }
                    { service: \"$JS.ACK.>\" }
                    { service: \"evt.>\" }
                    { service: \"dlq.>\" }
                ]
            }
            APP {
                users: [{ user: app, password: app }]
                imports: [
                    { service: { account: OWNER, subject: \"$JS.API.>\" }, to: \"JS.owner.>\" }
                    { service: { account: OWNER, subject: \"$JS.ACK.>\" } }
                    { service: { account: OWNER, subject: \"evt.>\" } }
                    { service: { account: OWNER, subject: \"dlq.>\" } }
                ]
            }
        }",
            )
            .start()
            .await
            .unwrap();
        let options = ConnectOptions::new().jetstream_api_prefix("JS.owner");
        let bus = Bus::connect_with(options, nats.url_as("app", "app"))
            .await
            .unwrap();
        use_jetstream(&bus).await;
        let owner = Bus::connect(nats.url_as("owner", "owner")).await.unwrap();
        let streams = owner.streams().await.unwrap();
        let names: Vec<_> = streams.iter().map(|stream| &*stream.name).collect();
        assert_eq!(names, ["MARKET", "MARKET-ATTEMPTS", "MARKET-DLQ"]);
    })
    .await;
}
