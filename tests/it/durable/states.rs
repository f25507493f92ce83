//! The states of streams and consumers: `Bus::streams`, `Bus::consumers`, descriptions and metadata.

use std::time::{Duration, SystemTime};

use micro_runtime::jetstream::{ConsumerState, Durable, EventStream, Retention};
use micro_runtime::{Bus, ErrorKind, Server};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;

use super::market::{TIMEOUT, market_stream, publish_trades, start_market, trade};
use super::raw_api::stream_config;
use super::recorder::{Outcome, Recorder};
use crate::log_lines::LogLines;

async fn consumer(bus: &Bus, name: &str) -> ConsumerState {
    let consumers = bus.consumers("MARKET").await.unwrap();
    let found = consumers.into_iter().find(|consumer| consumer.name == name);
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_shows_its_lag_and_its_oldest_unacknowledged_event() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let before = SystemTime::now() - Duration::from_secs(1);
        publish_trades(&bus, 1..=10).await;
        // The second event is never handled, and one that waits behind it holds the other place.
        let recorder = Recorder::new(|trade, _| match trade.number {
            1 => Outcome::Succeed,
            _ => Outcome::SucceedAfter(Duration::from_secs(3600)),
        });
        let durable = Durable::named("rec").max_concurrent(2).prefetch(0);
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        let state = loop {
            let state = consumer(&bus, "rec").await;
            if state.settled == 1 && state.unacknowledged == 2 {
                break state;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((state.lag, state.redelivered), (7, 0));
        assert_eq!(
            (state.last_delivered, state.oldest_unacknowledged),
            (3, Some(2))
        );
        let since = state.oldest_unacknowledged_since.unwrap();
        assert!(since > before && since <= SystemTime::now() + Duration::from_secs(1));
        assert_eq!(state.stream, "MARKET");
        assert_eq!(state.filters, ["evt.market.trade.*.*"]);
        assert_eq!(state.description, "durable events market.v1.Trade");
        assert_eq!(state.metadata["micro.event"], "market.v1.Trade");
        assert!(state.metadata["micro.declared_by"].starts_with("it-"));
        assert!(state.created.unwrap() > before);
        drop(server);

        let (_nats, bus) = start_market().await;
        let server = Server::new(&bus)
            .subscribe::<Trade>(Recorder::succeeding(), Durable::named("rec").dead_letter())
            .start()
            .await
            .unwrap();
        publish_trades(&bus, 1..=3).await;
        let state = loop {
            let state = consumer(&bus, "rec").await;
            if state.settled == 3 && state.waiting_pulls > 0 {
                break state;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((state.lag, state.unacknowledged), (0, 0));
        assert_eq!(state.oldest_unacknowledged, None);
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn streams_show_what_they_are_for_and_what_they_hold() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=10).await;
        let server = Server::new(&bus)
            .subscribe::<Trade>(Recorder::succeeding(), Durable::named("rec").dead_letter())
            .start()
            .await
            .unwrap();
        let streams = bus.streams().await.unwrap();
        let names: Vec<_> = streams.iter().map(|stream| &*stream.name).collect();
        assert_eq!(names, ["MARKET", "MARKET-ATTEMPTS", "MARKET-DLQ"]);
        let market = &streams[0];
        assert_eq!(market.subjects, ["evt.market.>"]);
        assert_eq!((market.events, market.consumers), (10, 1));
        assert_eq!((market.first_sequence, market.last_sequence), (1, 10));
        assert_eq!(market.description, "events of evt.market.>");
        assert!(market.metadata["micro.declared_by"].starts_with("it-"));
        assert!(market.bytes > 0 && market.first_event >= market.created);
        let attempts = &streams[1];
        assert_eq!(attempts.description, "attempts at events of stream MARKET");
        assert_eq!(attempts.metadata["micro.attempts_of"], "MARKET");
        let letters = &streams[2];
        assert_eq!(
            letters.description,
            "dead letters of consumers of stream MARKET"
        );
        assert_eq!(letters.metadata["micro.dead_letters_of"], "MARKET");
        assert_eq!((letters.events, letters.first_event), (0, None));
        for stream in ["MARKET", "MARKET-DLQ"] {
            assert_eq!(stream_config(&bus, stream).await["allow_direct"], true);
        }
        server.shutdown().await.unwrap();

        let error = bus.consumers("NONE").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::JetStream);
        let text = error.to_string();
        assert!(
            text.starts_with("JetStream does not list the consumers of stream `NONE`"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn lists_have_all_pages_and_a_bus_with_a_prefix_shows_its_own() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let staging = bus.clone().with_prefix("eu.staging").unwrap();
        staging.declare(&market_stream().in_memory()).await.unwrap();
        let streams = staging.streams().await.unwrap();
        assert_eq!(streams.len(), 1);
        assert_eq!(streams[0].name, "eu-staging-MARKET");
        assert_eq!(staging.consumers("MARKET").await.unwrap(), []);
        assert_eq!(staging.consumers("eu-staging-MARKET").await.unwrap(), []);

        // A page of nats-server has 256.
        for number in 0..300 {
            let stream = EventStream::named(format!("S{number:03}"))
                .subject(format!("evt.s{number}"))
                .in_memory();
            bus.declare(&stream).await.unwrap();
        }
        let streams = bus.streams().await.unwrap();
        assert_eq!(streams.len(), 302);
        assert!(streams.is_sorted_by_key(|stream| &stream.name));
        assert_eq!(streams[300].name, "S299");
    })
    .await;
}

/// A stream that acknowledges events and does not store them has a warning in the log; see the docs of `Retention`.
#[tokio::test]
async fn events_without_a_consumer_are_acknowledged_and_gone_where_interest_holds() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let stream = market_stream().retention(Retention::Interest);
        let (log, _guard) = LogLines::start();
        bus.declare(&stream).await.unwrap();
        assert!(log.has_warning("has no consumer"));
        assert_eq!(bus.publish_durable(&trade(1)).await.unwrap().sequence, 1);
        assert_eq!(bus.streams().await.unwrap()[0].events, 0);

        let stream = EventStream::named("SMALL")
            .subject("evt.small")
            .max_bytes(1_000);
        bus.declare(&stream).await.unwrap();
        assert!(log.has_warning("the `max_bytes` of a stream"));
    })
    .await;
}
