//! Consumers and streams that operators edit or delete, or a server loses, while programs use them.

use std::time::Duration;

use micro_runtime::jetstream::{Durable, EventStream, StartFrom};
use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;
use serde_json::json;

use super::market::{TIMEOUT, market_stream, publish_trades, start_market, trade};
use super::raw_api::{
    accepted, consumer_config, delete_consumer, delete_stream, edit_consumer, edit_stream, request,
};
use super::recorder::Recorder;

async fn consume(bus: &Bus, recorder: &Recorder, durable: Durable) -> RunningServer {
    let server = Server::new(bus).subscribe::<Trade>(recorder.clone(), durable);
    server.start().await.unwrap()
}

/// Waits until these trades were handled, and no others.
async fn wait_for(recorder: &Recorder, expected: impl IntoIterator<Item = u64>) {
    let expected: Vec<u64> = expected.into_iter().collect();
    recorder
        .wait_for(|recorder| recorder.succeeded().len() >= expected.len())
        .await;
    assert_eq!(recorder.succeeded(), expected);
}

/// Waits until JetStream has everything up to `sequence` as settled, and the server has asked for that.
async fn wait_until_settled(bus: &Bus, sequence: u64) {
    loop {
        let info = accepted(bus, "CONSUMER.INFO.MARKET.rec", json!(null)).await;
        if info["ack_floor"]["stream_seq"].as_u64() >= Some(sequence) {
            break;
        }
        tokio::task::yield_now().await;
    }
    // sleep: the interval at which a server asks is the point.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
}

/// The advice of the error of a declaration, followed while programs run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_an_operator_edits_runs_on_also_after_a_restart_of_nats_server() {
    within(TIMEOUT, async {
        let (mut nats, bus) = start_market().await;
        let recorder = Recorder::succeeding();
        let server = consume(&bus, &recorder, Durable::named("rec")).await;
        publish_trades(&bus, 1..=5).await;
        wait_for(&recorder, 1..=5).await;
        let fields =
            json!({"ack_wait": 7_000_000_000_u64, "max_ack_pending": 17, "description": "edited"});
        edit_consumer(&bus, "MARKET", "rec", fields).await;
        edit_stream(
            &bus,
            "MARKET",
            json!({"max_msgs": 1_000_000, "description": "edited"}),
        )
        .await;
        publish_trades(&bus, 6..=10).await;
        wait_for(&recorder, 1..=10).await;
        for restart in 1..=3 {
            nats.restart().await.unwrap();
            publish_trades(&bus, restart * 10 + 1..=restart * 10 + 10).await;
            wait_for(&recorder, 1..=restart * 10 + 10).await;
        }
        let config = consumer_config(&bus, "MARKET", "rec").await;
        assert_eq!(config["max_ack_pending"], 17);
        assert_eq!(config["description"], "edited");
        server.shutdown().await.unwrap();
    })
    .await;
}

/// A program that starts later compares, one that runs does not: also where the consumer was lost in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_another_made_with_other_settings_is_used() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let recorder = Recorder::succeeding();
        let server = consume(&bus, &recorder, Durable::named("rec")).await;
        publish_trades(&bus, 1..=5).await;
        wait_for(&recorder, 1..=5).await;
        let mut config = consumer_config(&bus, "MARKET", "rec").await;
        config["max_ack_pending"] = 3.into();
        config["deliver_policy"] = "by_start_sequence".into();
        config["opt_start_seq"] = 6.into();
        delete_consumer(&bus, "MARKET", "rec").await;
        let filter = config["filter_subject"].as_str().unwrap().to_owned();
        let creation = json!({"stream_name": "MARKET", "config": config, "action": "create"});
        let subject = format!("CONSUMER.CREATE.MARKET.rec.{filter}");
        // The server may have been faster; then there is nothing left to show, but it must go on.
        request(&bus, &subject, creation).await;
        publish_trades(&bus, 6..=10).await;
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 10)
            .await;
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relative_start_is_not_resolved_again() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=3).await;
        let recorder = Recorder::succeeding();
        let durable = || Durable::named("rec").start_from(StartFrom::New);
        let server = consume(&bus, &recorder, durable()).await;
        publish_trades(&bus, 4..=5).await;
        wait_for(&recorder, 4..=5).await;
        wait_until_settled(&bus, 5).await;
        // Events that are stored while the consumer is away must not be left out.
        delete_consumer(&bus, "MARKET", "rec").await;
        publish_trades(&bus, 6..=10).await;
        wait_for(&recorder, 4..=10).await;
        // Nothing came twice: the new one began behind what was settled.
        assert_eq!(recorder.attempts().len(), 7);
        server.shutdown().await.unwrap();
        let config = consumer_config(&bus, "MARKET", "rec").await;
        assert_eq!(config["opt_start_seq"], 6, "{config}");

        // Its start differs from the declared one for good, which is none that fails.
        let server = consume(&bus, &recorder, durable()).await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Before the first event, too: `New` means the moment of the first start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_deleted_before_its_first_event_leaves_none_out() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=3).await;
        let recorder = Recorder::succeeding();
        let durable = Durable::named("rec").start_from(StartFrom::New);
        let server = consume(&bus, &recorder, durable).await;
        delete_consumer(&bus, "MARKET", "rec").await;
        publish_trades(&bus, 4..=8).await;
        wait_for(&recorder, 4..=8).await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// The sequences of a stream that was made anew begin at 1: a consumer must not wait for the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_begins_with_the_first_event_of_a_stream_that_was_made_anew() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let recorder = Recorder::succeeding();
        let durable = Durable::named("rec").start_from(StartFrom::New);
        let server = consume(&bus, &recorder, durable).await;
        publish_trades(&bus, 1..=20).await;
        wait_for(&recorder, 1..=20).await;
        wait_until_settled(&bus, 20).await;
        delete_stream(&bus, "MARKET").await;
        let acks = publish_until_stored(&bus, 101..=105).await;
        assert_eq!(acks, [1, 2, 3, 4, 5]);
        recorder
            .wait_for(|recorder| (101..=105).all(|number| !recorder.attempts_of(number).is_empty()))
            .await;
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Publishes trades, and returns their sequences.
async fn publish_until_stored(bus: &Bus, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut sequences = Vec::new();
    for number in numbers {
        let ack = bus.publish_durable(&trade(number)).await.unwrap();
        sequences.push(ack.sequence);
    }
    sequences
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_that_finds_its_declared_stream_gone_declares_it_again() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=3).await;
        delete_stream(&bus, "MARKET").await;
        let acks = publish_until_stored(&bus, 4..=6).await;
        assert_eq!(acks, [1, 2, 3]);
        let info = accepted(&bus, "STREAM.INFO.MARKET", json!(null)).await;
        assert_eq!(info["config"]["subjects"], json!(["evt.market.>"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_finds_its_declared_stream_gone_declares_it_again() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let recorder = Recorder::succeeding();
        let server = consume(&bus, &recorder, Durable::named("rec")).await;
        publish_trades(&bus, 1..=3).await;
        wait_for(&recorder, 1..=3).await;
        delete_stream(&bus, "MARKET").await;
        // No publish: the consumer alone finds out.
        while request(&bus, "CONSUMER.INFO.MARKET.rec", json!(null)).await["error"].is_object() {
            tokio::task::yield_now().await;
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Nothing publishes durably and nothing consumes: the reconnect alone is the occasion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_in_memory_is_declared_again_after_a_restart_of_nats_server() {
    within(TIMEOUT, async {
        let mut nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let stream = EventStream::named("MARKET")
            .subject("evt.market.>")
            .in_memory();
        bus.declare(&stream).await.unwrap();
        for _ in 0..3 {
            nats.restart().await.unwrap();
            let operator = Bus::connect(nats.url()).await.unwrap();
            while request(&operator, "STREAM.INFO.MARKET", json!(null)).await["error"].is_object() {
                tokio::task::yield_now().await;
            }
            let ack = bus.publish_durable(&trade(1)).wait_for_ready();
            assert_eq!(ack.await.unwrap().sequence, 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_consumer_of_a_stream_in_memory_goes_on_after_a_restart_of_nats_server() {
    within(TIMEOUT, async {
        let mut nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let recorder = Recorder::succeeding();
        let server = Server::new(&bus)
            .declare(market_stream().in_memory())
            .subscribe::<Trade>(recorder.clone(), Durable::named("rec"))
            .start()
            .await
            .unwrap();
        for round in 0..3_u64 {
            publish_trades(&bus, round * 10..round * 10 + 10).await;
            recorder
                .wait_for(|recorder| {
                    (round * 10..round * 10 + 10)
                        .all(|number| !recorder.attempts_of(number).is_empty())
                })
                .await;
            nats.restart().await.unwrap();
        }
        server.shutdown().await.unwrap();
    })
    .await;
}
