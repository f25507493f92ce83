//! Messages to JetStream, byte for byte those of docs/golden.json, as a plain NATS client sees them.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use micro_runtime::Server;
use micro_runtime::jetstream::Durable;
use micro_testkit::within;
use micro_tests::market::Trade;

use super::market::{TIMEOUT, start_market};
use super::recorder::{Outcome, Recorder};
use crate::golden::example;
use crate::round_trip::round_trip;

async fn next(subscriber: &mut Subscriber) -> Message {
    within(TIMEOUT, subscriber.next()).await.unwrap()
}

/// Checks that the messages are those of the examples, in this order.
async fn check(messages: &mut Subscriber, names: &[&str]) {
    for name in names {
        example(name).check(&next(messages).await);
    }
}

/// An event that fails twice and one that succeeds, of the consumer `books` with two deliveries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_consumer_has_its_golden_bytes() {
    let (nats, bus) = start_market().await;
    let plain = async_nats::connect(nats.url()).await.unwrap();
    let mut pulls = plain
        .subscribe("$JS.API.CONSUMER.MSG.NEXT.>")
        .await
        .unwrap();
    let mut acknowledgments = plain.subscribe("$JS.ACK.>").await.unwrap();
    let mut letters = plain.subscribe("dlq.>").await.unwrap();
    round_trip(&plain).await;
    let trade = Trade {
        venue: "kraken".into(),
        symbol: "BTC/USD".into(),
        ..Trade::default()
    };
    let durable = Durable::named("books")
        .max_concurrent(4)
        .backoff([Duration::from_millis(50)])
        .max_attempts(2)
        .dead_letter();
    let recorder = Recorder::new(|trade, _| match trade.number {
        0 => Outcome::Fail,
        _ => Outcome::Succeed,
    });
    let server = Server::new(&bus)
        .subscribe::<Trade>(recorder, durable)
        .start()
        .await
        .unwrap();
    check(&mut pulls, &["pull_request"]).await;
    let failing = bus.publish_durable(&trade).id("t-1");
    failing.header("source", "replay").await.unwrap();
    check(&mut acknowledgments, &["negative_acknowledgment"]).await;
    check(&mut letters, &["dead_letter"]).await;
    check(&mut acknowledgments, &["termination"]).await;
    let succeeding = Trade { number: 1, ..trade };
    bus.publish_durable(&succeeding).await.unwrap();
    check(&mut acknowledgments, &["acknowledgment"]).await;
    server.shutdown().await.unwrap();
}
