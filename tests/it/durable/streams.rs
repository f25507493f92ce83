//! Streams as code declares them: created once, checked ever after.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::{Bus, ErrorKind, EventStream, Retention, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;

use super::{LIMIT, market_stream};

#[tokio::test]
async fn a_stream_is_created_and_found_again() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let full = EventStream::named("FULL")
            .subject("evt.full.>")
            .retention(Retention::Interest)
            .max_age(Duration::from_secs(60))
            .max_bytes(1_000_000)
            .max_events(1_000)
            .max_events_per_subject(10)
            .duplicate_window(Duration::from_secs(30))
            .refuse_when_full()
            .in_memory();
        for stream in [market_stream(), full] {
            bus.declare(&stream).await.unwrap();
            bus.declare(&stream).await.unwrap();
        }
        let both = tokio::join!(
            async {
                bus.declare(&EventStream::named("RACE").subject("evt.race"))
                    .await
            },
            async {
                bus.declare(&EventStream::named("RACE").subject("evt.race"))
                    .await
            },
        );
        both.0.unwrap();
        both.1.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_differs_is_an_error_that_shows_both_and_changes_nothing() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        bus.declare(&market_stream()).await.unwrap();
        let other = EventStream::named("MARKET")
            .subject("evt.>")
            .max_age(Duration::from_secs(3600));
        for _ in 0..2 {
            let error = bus.declare(&other).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::JetStream);
            let expected = "stream `MARKET` is not as declared:
  subjects: expected evt.>, found evt.market.>
  max_age: expected 3600s, found unlimited
change the declaration, or what is there (`nats stream edit MARKET`)";
            assert_eq!(error.to_string(), expected);
        }
        let overlapping = EventStream::named("OTHER").subject("evt.market.trade.>");
        let error = bus.declare(&overlapping).await.unwrap_err().to_string();
        assert!(
            error.contains("create stream `OTHER`") && error.contains("overlap"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_covers_a_call_is_refused_whoever_comes_first() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let all = EventStream::named("ALL")
            .subject("evt.>")
            .subject("behavior.>");
        let server = || Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::on(&bus)));
        let names_both = |error: micro_runtime::Error| {
            let text = error.to_string();
            let is_named = text.contains("`ALL`")
                && text.contains("`behavior.>` covers `behavior.v1.Behavior.");
            assert!(is_named, "{text}");
        };
        let running = server().start().await.unwrap();
        names_both(bus.declare(&all).await.unwrap_err());
        running.shutdown().await.unwrap();
        names_both(server().stream(all.clone()).start().await.unwrap_err());
        bus.declare(&all).await.unwrap();
        names_both(server().start().await.unwrap_err());
    })
    .await;
}

#[tokio::test]
async fn a_prefix_keeps_streams_apart() {
    within(LIMIT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        for prefix in ["staging", "eu.test"] {
            let bus = bus.clone().with_prefix(prefix).unwrap();
            bus.declare(&market_stream()).await.unwrap();
            let ack = bus.publish_durable(&super::trade(1)).await.unwrap();
            assert_eq!(ack.sequence, 1);
            assert_eq!(ack.stream, format!("{}-MARKET", prefix.replace('.', "-")));
        }
    })
    .await;
}

#[tokio::test]
async fn without_jetstream_there_is_one_clear_error() {
    within(LIMIT, async {
        let bus = Bus::in_process();
        let expected = "durable events need JetStream, which this bus inside one process does not have; use `Bus::connect`";
        let error = bus.declare(&market_stream()).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        let status = bus.publish_durable(&super::trade(1)).await.unwrap_err();
        assert_eq!(status.message(), expected);
        let status = bus.replay::<micro_tests::market::Trade>().await.unwrap_err();
        assert_eq!(status.message(), expected);
        let started = Server::new(&bus).stream(market_stream()).start().await;
        assert_eq!(started.unwrap_err().to_string(), expected);

        let nats = NatsServer::start().await.unwrap();
        let bus = Arc::new(Bus::connect(nats.url()).await.unwrap());
        let error = bus.declare(&market_stream()).await.unwrap_err();
        assert!(error.to_string().contains("JetStream"), "{error}");
    })
    .await;
}
