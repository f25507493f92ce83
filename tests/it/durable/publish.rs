//! Acknowledged publishing: ids, order, timeouts and the bound of unacknowledged events.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use micro_runtime::{Bus, Code, Reason};
use micro_testkit::{NatsServer, within};
use micro_tests::market::Trade;

use super::market::{
    TIMEOUT, market_stream, publish_trades, start_market, stored_events, trade, trade_id,
};

#[tokio::test]
async fn an_acknowledgment_names_stream_and_sequence() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        for expected in 1..=3 {
            let ack = bus.publish_durable(&trade(expected)).await.unwrap();
            assert_eq!((ack.stream.as_str(), ack.sequence), ("MARKET", expected));
            assert!(!ack.is_duplicate);
        }
    })
    .await;
}

#[tokio::test]
async fn events_with_the_same_id_are_stored_once() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let first = bus
            .publish_durable(&trade(1))
            .id("a")
            .header("tenant", "acme")
            .await
            .unwrap();
        let again = bus.publish_durable(&trade(1)).id("a").await.unwrap();
        assert_eq!((first.is_duplicate, again.is_duplicate), (false, true));
        assert_eq!(first.sequence, again.sequence);
        assert_eq!(stored_events(&bus).await, 1);
        for id in ["", "a\r\nb"] {
            let status = bus.publish_durable(&trade(1)).id(id).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{id:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_events_are_stored_in_order() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=5_000).await;
        let mut replay = bus.replay::<Trade>().open().await.unwrap();
        for expected in 1..=5_000 {
            let event = replay.next().await.unwrap().unwrap();
            assert_eq!(
                (event.number, event.delivery.sequence()),
                (expected, expected)
            );
        }
        assert!(replay.next().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn an_event_without_a_stream_fails_at_once_or_waits_for_one_that_is_declared() {
    within(TIMEOUT, async {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let status = bus.publish_durable(&trade(1)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.reason(), Some(Reason::NotStored));

        // With `wait_for_ready` another program may declare it until the timeout.
        let waiting = || bus.publish_durable(&trade(1)).wait_for_ready();
        let started = Instant::now();
        let status = waiting()
            .timeout(Duration::from_millis(700))
            .await
            .unwrap_err();
        assert!(
            status
                .message()
                .contains("no stream stores `evt.market.trade.sim.S1`"),
            "{status}"
        );
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert!(started.elapsed() < Duration::from_secs(2));
        let late = tokio::spawn(waiting().into_future());
        bus.declare(&market_stream()).await.unwrap();
        assert_eq!(late.await.unwrap().unwrap().sequence, 1);

        // A failure that `publish` or `send` has returned is not returned again by `flush`.
        let publisher = bus.durable_publisher().timeout(Duration::from_millis(300));
        let huge = Trade {
            venue: "x".repeat(2_000_000),
            ..trade(1)
        };
        assert!(publisher.publish(&huge).await.is_err());
        let large = Trade {
            venue: "x".repeat(129),
            ..trade(1)
        };
        assert_eq!(
            publisher.publish(&large).send().await.unwrap_err().code(),
            Code::InvalidArgument
        );
        publisher.flush().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unacknowledged_events_are_bounded_by_max_in_flight() {
    within(TIMEOUT, async {
        let (mut nats, bus) = start_market().await;
        nats.pause().unwrap();
        let publisher = bus.durable_publisher().max_in_flight(3);
        for number in 0..3 {
            let _pending = publisher
                .publish(&trade(number))
                .id(trade_id(number))
                .send()
                .await
                .unwrap();
        }
        let timeout = Duration::from_millis(200);
        let status = publisher
            .publish(&trade(3))
            .timeout(timeout)
            .send()
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        nats.resume().unwrap();
        publisher.flush().await.unwrap();
        assert_eq!(stored_events(&bus).await, 3);
    })
    .await;
}

/// The last attempt has little time and no reply; the attempt before it knows why the event is not stored.
#[tokio::test]
async fn an_attempt_that_the_deadline_cuts_short_does_not_hide_the_cause() {
    within(TIMEOUT, async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let stream = bus.nats().unwrap().clone();
        let mut events = stream.subscribe("evt.market.>").await.unwrap();
        let publish = bus
            .publish_durable(&trade(1))
            .timeout(Duration::from_millis(700));
        let replying = async {
            let first = events.next().await.unwrap().reply.unwrap();
            let busy = r#"{"error":{"code":503,"err_code":10008,"description":"busy"}}"#;
            stream.publish(first, busy.into()).await.unwrap();
            events.next().await.unwrap();
        };
        let (published, ()) = tokio::join!(publish.into_future(), replying);
        let status = published.unwrap_err();
        assert_eq!(status.reason(), Some(Reason::NotStored));
        let text = status.message();
        assert!(
            text.contains("the last attempt had no reply; before it:"),
            "{text}"
        );
        assert!(text.contains("busy"), "{text}");
    })
    .await;
}

/// JetStream has the event of an attempt before, and has not stored it yet.
#[tokio::test]
async fn an_event_whose_id_is_in_process_is_published_again() {
    within(TIMEOUT, async {
        let nats = NatsServer::start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        let responder = async_nats::connect(nats.url()).await.unwrap();
        let mut events = responder.subscribe("evt.market.>").await.unwrap();
        responder.flush().await.unwrap();
        let replies = [
            r#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}"#,
            r#"{"stream":"MARKET","seq":7,"duplicate":true}"#,
        ];
        let replying = tokio::spawn(async move {
            for reply in replies {
                let event = events.next().await.unwrap();
                let subject = event.reply.unwrap();
                responder.publish(subject, reply.into()).await.unwrap();
                responder.flush().await.unwrap();
            }
        });
        let ack = bus.publish_durable(&trade(1)).id("a").await.unwrap();
        assert_eq!((ack.sequence, ack.is_duplicate), (7, true));
        replying.await.unwrap();
    })
    .await;
}
