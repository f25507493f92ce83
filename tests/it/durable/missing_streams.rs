//! Publishes and consumers without a stream, and streams that refuse: each cause has a text of its own.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use micro_runtime::jetstream::{Durable, EventStream};
use micro_runtime::{Bus, Code, ErrorKind, Reason, Server, Status};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;
use serde_json::json;

use super::market::{TIMEOUT, market_stream, publish_trades, start_market, trade};
use super::raw_api::{edit_stream, stream_config};
use super::recorder::Recorder;
use crate::round_trip::round_trip;

/// Checks a failure that must not have waited for the timeout of 20 s.
fn check_at_once(started: Instant, status: &Status, code: Code, text: &str) {
    assert!(started.elapsed() < Duration::from_secs(5), "{status}");
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(status.reason(), Some(Reason::NotStored), "{status}");
    assert!(status.message().contains(text), "{status}");
    assert!(!status.message().contains("may or may not"), "{status}");
}

#[tokio::test]
async fn a_missing_stream_is_an_error_at_once_that_states_what_to_do() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let started = Instant::now();
        let status = bus.publish_durable(&trade(1)).await.unwrap_err();
        let text = "`evt.market.trade.sim.S1` is not stored: no stream stores `evt.market.trade.sim.S1`; declare one";
        check_at_once(started, &status, Code::Unavailable, text);
    })
    .await;
}

/// In place of JetStream, a peer that knows a stream which has no leader, and one that is slow to know.
#[tokio::test]
async fn a_stream_without_a_leader_is_waited_for_and_named() {
    within(TIMEOUT, async {
        let nats = NatsServer::start().await.unwrap();
        let peer = async_nats::connect(nats.url()).await.unwrap();
        let mut requests = peer.subscribe("$JS.API.STREAM.NAMES").await.unwrap();
        round_trip(&peer).await;
        let replying = peer.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let reply = r#"{"total":1,"offset":0,"limit":1024,"streams":["MARKET"]}"#;
                let to = request.reply.unwrap();
                replying.publish(to, reply.into()).await.unwrap();
            }
        });
        let bus = Bus::connect(nats.url()).await.unwrap();
        let publish = bus
            .publish_durable(&trade(1))
            .timeout(Duration::from_millis(700));
        let status = publish.await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let text = "is not stored; the same id can be published again: stream `MARKET`, which stores \
                    `evt.market.trade.sim.S1`, has no leader: its servers are away, or elect one";
        assert!(status.message().contains(text), "{status}");

        // The leader comes back.
        let late = tokio::spawn(bus.publish_durable(&trade(1)).into_future());
        let mut events = peer.subscribe("evt.market.>").await.unwrap();
        let event = events.next().await.unwrap();
        let ack = r#"{"stream":"MARKET","seq":7}"#;
        peer.publish(event.reply.unwrap(), ack.into()).await.unwrap();
        assert_eq!(late.await.unwrap().unwrap().sequence, 7);
    })
    .await;
}

/// A user who may publish alone has no right to look up why nothing stores its events.
#[tokio::test]
async fn a_publisher_that_may_not_look_up_its_stream_gets_all_causes() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder()
            .jetstream()
            .config(
                "authorization { users = [
            { user: app, password: app, permissions: { publish: [\"evt.>\", \"_INBOX.>\"] } }
        ] }",
            )
            .start()
            .await
            .unwrap();
        let bus = Bus::connect(nats.url_as("app", "app")).await.unwrap();
        let publish = bus
            .publish_durable(&trade(1))
            .timeout(Duration::from_millis(700));
        let status = publish.await.unwrap_err();
        let text =
            "no stream stores `evt.market.trade.sim.S1`, its leader is away, or JetStream is off";
        assert!(status.message().ends_with(text), "{status}");
    })
    .await;
}

#[tokio::test]
async fn a_full_stream_refuses_at_once_and_the_id_stays_free() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        bus.declare(&market_stream().max_events(3).refuse_when_full())
            .await
            .unwrap();
        publish_trades(&bus, 1..=3).await;
        let started = Instant::now();
        let status = bus.publish_durable(&trade(4)).id("4").await.unwrap_err();
        let text = "JetStream does not store `evt.market.trade.sim.S4`: maximum messages exceeded";
        check_at_once(started, &status, Code::ResourceExhausted, text);
        // By a publisher, too.
        let publisher = bus.durable_publisher();
        let _sent = publisher.publish(&trade(5)).send().await.unwrap();
        let status = publisher.flush().await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);

        edit_stream(&bus, "MARKET", json!({"max_msgs": 10})).await;
        let ack = bus.publish_durable(&trade(4)).id("4").await.unwrap();
        assert!(!ack.is_duplicate);
        // A full stream knows the events that it has.
        edit_stream(&bus, "MARKET", json!({"max_msgs": 4})).await;
        let again = bus.publish_durable(&trade(4)).id("4").await.unwrap();
        assert_eq!((again.is_duplicate, again.sequence), (true, ack.sequence));
        assert_eq!(stream_config(&bus, "MARKET").await["max_msgs"], 4);
    })
    .await;
}

#[tokio::test]
async fn other_refusals_have_codes_of_their_own() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let started = Instant::now();
        edit_stream(&bus, "MARKET", json!({"max_msg_size": 200})).await;
        let large = Trade {
            venue: "v".repeat(100),
            symbol: "s".repeat(100),
            ..trade(1)
        };
        let status = bus.publish_durable(&large).await.unwrap_err();
        check_at_once(
            started,
            &status,
            Code::InvalidArgument,
            "message size exceeds maximum",
        );
        edit_stream(&bus, "MARKET", json!({"sealed": true})).await;
        let status = bus.publish_durable(&trade(1)).await.unwrap_err();
        check_at_once(started, &status, Code::FailedPrecondition, "sealed");
    })
    .await;
}

#[tokio::test]
async fn a_filter_that_two_streams_store_is_an_error_that_names_both() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        for venue in ["sim", "kraken"] {
            let stream = EventStream::named(venue).subject(format!("evt.market.trade.{venue}.*"));
            bus.declare(&stream).await.unwrap();
        }
        let start = async |durable: Durable| {
            let server = Server::new(&bus).subscribe::<Trade>(Recorder::succeeding(), durable);
            server.start().await
        };
        let both = "streams `kraken` and `sim` store events of `evt.market.trade.*.*`";
        let error = start(Durable::named("rec")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::JetStream);
        let expected =
            format!("{both}, which `rec` is to consume; choose one with `Durable::stream`");
        assert_eq!(error.to_string(), expected);
        let status = bus.replay::<Trade>().open().await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let expected = format!("{both}; choose one with `ReplayBuilder::stream`");
        assert_eq!(status.message(), expected);

        let server = start(Durable::named("rec").stream("sim")).await.unwrap();
        server.shutdown().await.unwrap();
        assert!(bus.replay::<Trade>().stream("kraken").open().await.is_ok());
    })
    .await;
}
