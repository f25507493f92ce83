//! Declarations of what exists with other settings: `OnDifference`.

use std::time::Duration;

use micro_runtime::jetstream::{Durable, EventStream, OnDifference, Retention};
use micro_runtime::{Bus, Error, ErrorKind, Server};
use micro_testkit::within;
use micro_tests::market::{Trade, TradeFilter};
use serde_json::json;

use super::market::{TIMEOUT, market_stream, publish_trades, start_market};
use super::raw_api::{accepted, consumer_config, edit_consumer, edit_stream, stream_config};
use super::recorder::Recorder;

fn check_error(declared: Result<(), Error>, expected: &str) {
    let error = declared.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::JetStream, "{error}");
    assert_eq!(error.to_string(), expected);
}

async fn consume(bus: &Bus, durable: Durable) -> Result<(), Error> {
    let server = Server::new(bus).subscribe::<Trade>(Recorder::succeeding(), durable);
    server.start().await?.shutdown().await.map(drop)
}

#[tokio::test]
async fn an_update_changes_what_is_declared_and_nothing_else() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let of_operator = json!({
            "max_msg_size": 5_000, "description": "of an operator", "compression": "s2",
            "metadata": {"team": "core", "micro.version": "3"},
        });
        edit_stream(&bus, "MARKET", of_operator).await;
        let changed = || {
            market_stream()
                .subject("evt.more.>")
                .max_age(Duration::from_secs(3600))
                .duplicate_window(Duration::from_secs(60))
                .max_events(1_000)
                .refuse_when_full()
                .on_difference(OnDifference::Update)
                .version(4)
        };
        bus.declare(&changed()).await.unwrap();
        let config = stream_config(&bus, "MARKET").await;
        assert_eq!(config["subjects"], json!(["evt.market.>", "evt.more.>"]));
        assert_eq!(config["max_age"], 3_600_000_000_000_u64);
        assert_eq!(config["max_msgs"], 1_000);
        assert_eq!(config["discard"], "new");
        assert_eq!(config["max_msg_size"], 5_000);
        assert_eq!(config["compression"], "s2");
        assert_eq!(config["description"], "of an operator");
        assert_eq!(config["metadata"]["team"], "core");
        assert_eq!(config["metadata"]["micro.version"], "4");
        // Nothing is sent where nothing differs.
        let edited = json!({"max_msg_size": 6_000});
        edit_stream(&bus, "MARKET", edited).await;
        bus.declare(&changed().version(5)).await.unwrap();
        let config = stream_config(&bus, "MARKET").await;
        assert_eq!(config["metadata"]["micro.version"], "4");
        bus.declare(&changed().description("ours").max_events(2_000).version(5))
            .await
            .unwrap();
        assert_eq!(stream_config(&bus, "MARKET").await["description"], "ours");
    })
    .await;
}

/// Old and new processes of a rolling deployment, in any order of their starts.
#[tokio::test]
async fn the_highest_version_wins_and_the_others_run_on() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let stream = |version: u64| {
            market_stream()
                .max_events(version * 1_000)
                .on_difference(OnDifference::Update)
                .version(version)
        };
        let durable = |version: u64| {
            Durable::named("rec")
                .ack_wait(Duration::from_secs(version))
                .on_difference(OnDifference::Update)
                .version(version)
        };
        for (version, expected) in [(1, 1_u64), (2, 2), (1, 2), (2, 2), (3, 3), (1, 3), (2, 3)] {
            bus.declare(&stream(version)).await.unwrap();
            consume(&bus, durable(version)).await.unwrap();
            let config = stream_config(&bus, "MARKET").await;
            assert_eq!(config["max_msgs"], expected * 1_000, "{version}");
            let config = consumer_config(&bus, "MARKET", "rec").await;
            assert_eq!(config["ack_wait"], expected * 1_000_000_000, "{version}");
        }
        // One without a version leaves them alone, and `Keep` is none that fails.
        let plain = market_stream().on_difference(OnDifference::Update);
        bus.declare(&plain).await.unwrap();
        bus.declare(&market_stream().on_difference(OnDifference::Keep))
            .await
            .unwrap();
        consume(
            &bus,
            Durable::named("rec").on_difference(OnDifference::Keep),
        )
        .await
        .unwrap();
        assert_eq!(stream_config(&bus, "MARKET").await["max_msgs"], 3_000);
        assert!(bus.declare(&market_stream()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_setting_that_jetstream_does_not_change_is_an_error_that_names_it() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let before = stream_config(&bus, "MARKET").await;
        let stream = market_stream()
            .in_memory()
            .retention(Retention::WorkQueue)
            .max_events(10)
            .on_difference(OnDifference::Update);
        let expected = "stream `MARKET` cannot be updated as declared:
  retention: expected workqueue, found limits (JetStream changes no stream to or from a work queue)
  storage: expected memory, found file (JetStream does not change it in place)
declare it under a new name, or change the declaration or what is there (`nats stream edit MARKET`)";
        check_error(bus.declare(&stream).await, expected);
        assert_eq!(stream_config(&bus, "MARKET").await, before);

        // A setting that the server refuses is shown with its text.
        let stream = market_stream()
            .replicas(3)
            .on_difference(OnDifference::Update);
        let error = bus.declare(&stream).await.unwrap_err().to_string();
        assert!(error.starts_with("JetStream does not update stream `MARKET`: "), "{error}");

        let push = json!({"stream_name": "MARKET", "action": "create", "config": {
            "durable_name": "rec", "deliver_subject": "pushed", "ack_policy": "none", "deliver_policy": "all",
        }});
        accepted(&bus, "CONSUMER.CREATE.MARKET.rec", push).await;
        let durable = Durable::named("rec").on_difference(OnDifference::Update);
        let error = consume(&bus, durable).await.unwrap_err().to_string();
        let expected = "consumer `rec` of stream `MARKET` cannot be updated as declared:
  kind: expected pull, found push to pushed (JetStream does not change it in place)
  ack_policy: expected explicit, found none (JetStream does not change it in place)";
        assert!(error.starts_with(expected), "{error}");
    })
    .await;
}

/// A limit of deliveries at the server leaves events undelivered that have had more.
#[tokio::test]
async fn an_update_of_a_consumer_leaves_its_limit_of_deliveries() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        consume(&bus, Durable::named("rec")).await.unwrap();
        let fields = json!({"max_deliver": 7, "sample_freq": "50%", "max_waiting": 512});
        edit_consumer(&bus, "MARKET", "rec", fields).await;
        let durable = || {
            Durable::named("rec")
                .filter(TradeFilter::new().venue("kraken"))
                .max_ack_pending(50)
        };
        let update = durable().on_difference(OnDifference::Update);
        let error = consume(&bus, update.clone()).await.unwrap_err().to_string();
        let line = "  max_deliver: expected unlimited, found 7 (at that limit events stay undelivered, without a dead letter)";
        assert!(error.contains(line), "{error}");

        edit_consumer(&bus, "MARKET", "rec", json!({"max_deliver": -1})).await;
        consume(&bus, update).await.unwrap();
        let config = consumer_config(&bus, "MARKET", "rec").await;
        assert_eq!(config["filter_subject"], "evt.market.trade.kraken.*");
        assert_eq!(config["max_ack_pending"], 50);
        assert_eq!(config["sample_freq"], "50%");
        assert_eq!(config["metadata"]["micro.event"], "market.v1.Trade");
        // The same again is no difference, and several filters become the declared one.
        consume(&bus, durable()).await.unwrap();
        let filters = json!(["evt.market.trade.kraken.*", "evt.market.trade.sim.*"]);
        let fields = json!({"filter_subjects": filters, "filter_subject": null});
        edit_consumer(&bus, "MARKET", "rec", fields).await;
        consume(&bus, durable().on_difference(OnDifference::Update))
            .await
            .unwrap();
        consume(&bus, durable()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_update_that_would_delete_events_needs_a_permission() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=10).await;
        let stored = async || {
            let info = accepted(&bus, "STREAM.INFO.MARKET", json!(null)).await;
            info["state"]["messages"].as_u64().unwrap()
        };
        let update = || market_stream().on_difference(OnDifference::Update);
        let check = async |stream: EventStream, line: &str| {
            let expected = format!(
                "stream `MARKET` is not updated, since that would delete events:
  {line}
permit it with `EventStream::allow_deleting`, or change the declaration"
            );
            check_error(bus.declare(&stream).await, &expected);
            assert_eq!(stored().await, 10);
        };
        check(update().max_events(4), "max_events: expected 4, 10 events are stored").await;
        let line = "max_events_per_subject: expected 1, 4 events may have one subject";
        check(update().max_events_per_subject(1), line).await;
        let line = "retention: expected interest, which removes those of 10 events that every consumer has acknowledged";
        check(update().retention(Retention::Interest), line).await;

        // A limit that is not reached deletes nothing.
        bus.declare(&update().max_events(10)).await.unwrap();
        assert_eq!(stored().await, 10);
        bus.declare(&update().max_events(4).allow_deleting())
            .await
            .unwrap();
        assert_eq!(stored().await, 4);
    })
    .await;
}

/// Metadata and descriptions are for people: nothing compares them.
#[tokio::test]
async fn what_the_library_adds_is_not_compared() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        consume(&bus, Durable::named("rec")).await.unwrap();
        let fields = json!({"description": "x", "metadata": {"micro.declared_by": "y"}, "allow_direct": false});
        edit_stream(&bus, "MARKET", fields).await;
        let fields = json!({"description": "x", "metadata": {"micro.event": "y"}});
        edit_consumer(&bus, "MARKET", "rec", fields).await;
        bus.declare(&market_stream()).await.unwrap();
        consume(&bus, Durable::named("rec")).await.unwrap();
        assert_eq!(stream_config(&bus, "MARKET").await["description"], "x");
    })
    .await;
}
