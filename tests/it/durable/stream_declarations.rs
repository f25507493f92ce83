//! Declared streams: created if absent, compared with the existing stream otherwise.

use std::time::Duration;

use futures_util::StreamExt as _;
use micro_runtime::jetstream::{Durable, EventStream, Retention};
use micro_runtime::{Bus, Code, Context, ErrorKind, Server, Status, Subscriber};
use micro_testkit::{NatsServer, within};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use micro_tests::market::Trade;

use super::market::{TIMEOUT, market_stream, start_market, trade};
use crate::round_trip::round_trip;
use crate::until::until;

/// A subscriber whose events do not matter.
struct IgnoredTrades;

impl Subscriber<Trade> for IgnoredTrades {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}

#[tokio::test]
async fn a_declared_stream_is_created_or_matched() {
    within(TIMEOUT, async {
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
async fn a_differing_stream_is_an_error_with_both_settings_and_stays_unchanged() {
    within(TIMEOUT, async {
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
change the declaration or its `on_difference`, or what is there (`nats stream edit MARKET`)";
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
async fn a_stream_that_covers_call_subjects_is_rejected_in_either_order() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let all = EventStream::named("ALL")
            .subject("evt.>")
            .subject("behavior.>");
        let server = || Server::new(&bus).add(BehaviorServer::new(BehaviorHandler::on(&bus)));
        let check_names_both = |error: micro_runtime::Error| {
            let text = error.to_string();
            let is_named = text.contains("`ALL`")
                && text.contains("`behavior.>` covers `behavior.v1.Behavior.");
            assert!(is_named, "{text}");
        };
        let running = server().start().await.unwrap();
        check_names_both(bus.declare(&all).await.unwrap_err());
        running.shutdown().await.unwrap();
        check_names_both(server().declare(all.clone()).start().await.unwrap_err());
        bus.declare(&all).await.unwrap();
        check_names_both(server().start().await.unwrap_err());
    })
    .await;
}

#[tokio::test]
async fn a_prefix_separates_streams() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        for prefix in ["staging", "eu.test"] {
            let bus = bus.clone().with_prefix(prefix).unwrap();
            bus.declare(&market_stream()).await.unwrap();
            let ack = bus.publish_durable(&trade(1)).await.unwrap();
            assert_eq!(ack.sequence, 1);
            assert_eq!(ack.stream, format!("{}-MARKET", prefix.replace('.', "-")));
        }
    })
    .await;
}

#[tokio::test]
async fn without_jetstream_every_operation_fails_with_the_same_error() {
    within(TIMEOUT, async {
        let bus = Bus::in_process();
        let expected = "durable events need JetStream, which this bus inside one process does not have; use `Bus::connect`";
        let error = bus.declare(&market_stream()).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        let status = bus.publish_durable(&trade(1)).await.unwrap_err();
        assert_eq!(status.message(), expected);
        let status = bus.replay::<Trade>().open().await.unwrap_err();
        assert_eq!(status.message(), expected);
        let started = Server::new(&bus).declare(market_stream()).start().await;
        assert_eq!(started.unwrap_err().to_string(), expected);
    })
    .await;
}

#[tokio::test]
async fn a_nats_server_without_jetstream_is_an_error_that_states_how_to_enable_it() {
    within(TIMEOUT, async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let cause =
            "this nats-server has no JetStream; start it with `-js`, or enable it for this account";
        let error = bus.declare(&market_stream()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::JetStream);
        let expected = format!("JetStream does not look up stream `MARKET`: {cause}");
        assert_eq!(error.to_string(), expected);

        let subscribed = Server::new(&bus)
            .subscribe::<Trade>(IgnoredTrades, Durable::named("recorder"))
            .start()
            .await;
        let expected =
            format!("JetStream does not look up the stream of `evt.market.trade.*.*`: {cause}");
        assert_eq!(subscribed.unwrap_err().to_string(), expected);

        let status = bus.replay::<Trade>().open().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let expected = format!("the stream of `evt.market.trade.*.*` cannot be looked up: {cause}");
        assert_eq!(status.message(), expected);

        let publish = bus
            .publish_durable(&trade(1))
            .timeout(Duration::from_secs(2));
        let status = publish.await.unwrap_err();
        assert!(status.message().ends_with(cause), "{status}");
        assert!(!status.message().contains("may or may not"), "{status}");
    })
    .await;
}

#[tokio::test]
async fn a_consumer_of_a_stream_that_does_not_exist_is_an_error_that_names_it() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let durable = Durable::named("recorder").stream("NONE");
        let server = Server::new(&bus).subscribe::<Trade>(IgnoredTrades, durable);
        let error = server.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::JetStream);
        let expected = "JetStream does not know stream `NONE`: stream not found";
        assert!(error.to_string().starts_with(expected), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_ends_a_request_to_jetstream_and_two_replies_to_one_are_one() {
    within(TIMEOUT, async {
        // In place of JetStream, a peer that replies twice to the lookup of one stream, garbage to that of
        // another, and not at all to the rest.
        let mut nats = NatsServer::start().await.unwrap();
        let peer = async_nats::connect(nats.url()).await.unwrap();
        let mut requests = peer.subscribe("$JS.API.STREAM.INFO.*").await.unwrap();
        round_trip(&peer).await;
        let (asked, mut silent) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let reply = request.reply.unwrap();
                let payload = match request.subject.rsplit('.').next() {
                    Some("TWICE") => {
                        r#"{"error":{"code":500,"err_code":1,"description":"out of order"}}"#
                    }
                    Some("GARBAGE") => "no JSON",
                    _ => {
                        asked.send(()).await.unwrap();
                        continue;
                    }
                };
                peer.publish(reply.clone(), payload.into()).await.unwrap();
                peer.publish(reply, payload.into()).await.unwrap();
            }
        });
        let bus = Bus::connect(nats.url()).await.unwrap();
        let declare = async |name: &str| {
            let stream = EventStream::named(name).subject(format!("evt.{name}.>"));
            bus.declare(&stream).await.unwrap_err()
        };
        for (name, expected) in [
            ("TWICE", "out of order (code 500, error code 1)"),
            ("GARBAGE", "its reply cannot be read"),
        ] {
            let error = declare(name).await;
            assert_eq!(error.kind(), ErrorKind::JetStream, "{error}");
            let expected = format!("JetStream does not look up stream `{name}`: {expected}");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        until(|| bus.unmatched_replies() == 2).await;

        let (error, ()) = tokio::join!(declare("SILENT"), async {
            silent.recv().await.unwrap();
            nats.kill().unwrap();
        });
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    })
    .await;
}
