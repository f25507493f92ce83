//! Reading a stream again: from the start, a sequence, a time, in order.

use std::time::{Duration, SystemTime};

use micro_runtime::{Bus, Event as _, Start};
use micro_testkit::within;
use micro_tests::market::{Trade, TradeFilter};

use super::{LIMIT, market, publish, trade};

async fn numbers(bus: &Bus, start: Start) -> Vec<u64> {
    let mut replay = bus.replay::<Trade>().start(start).await.unwrap();
    let mut numbers = Vec::new();
    while let Some(trade) = replay.event().await.unwrap() {
        assert_eq!(trade.delivery.stream(), "MARKET");
        numbers.push(trade.number);
    }
    numbers
}

#[tokio::test]
async fn a_replay_begins_where_it_is_told_to() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        assert!(numbers(&bus, Start::First).await.is_empty());
        publish(&bus, 1..=50).await;
        // sleep: the times of the two halves must differ by more than clocks are off.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let middle = SystemTime::now();
        // sleep: as above.
        tokio::time::sleep(Duration::from_millis(50)).await;
        publish(&bus, 51..=100).await;
        assert_eq!(
            numbers(&bus, Start::First).await,
            (1..=100).collect::<Vec<_>>()
        );
        assert_eq!(
            numbers(&bus, Start::Sequence(90)).await,
            (90..=100).collect::<Vec<_>>()
        );
        assert_eq!(
            numbers(&bus, Start::Time(middle)).await,
            (51..=100).collect::<Vec<_>>()
        );
        assert!(numbers(&bus, Start::New).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_replay_picks_events_and_goes_on_behind_what_is_none() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=14).await;
        let filter = TradeFilter::new().symbol("S3");
        let mut replay = bus.replay::<Trade>().filter(filter).await.unwrap();
        for expected in [3, 10] {
            assert_eq!(replay.event().await.unwrap().unwrap().number, expected);
        }
        assert!(replay.event().await.unwrap().is_none());

        let subject = trade(1).subject().unwrap();
        bus.publish_raw(subject, &b"\xff\xff"[..]).await.unwrap();
        publish(&bus, [15]).await;
        let mut replay = bus
            .replay::<Trade>()
            .start(Start::Sequence(15))
            .await
            .unwrap();
        let status = replay.event().await.unwrap_err();
        assert!(status.message().contains("market.v1.Trade"), "{status}");
        assert_eq!(replay.event().await.unwrap().unwrap().number, 15);
        assert!(replay.event().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_follows_survives_a_restart() {
    within(Duration::from_secs(90), async {
        let (mut nats, bus) = market().await;
        publish(&bus, 1..=10).await;
        let mut replay = bus
            .replay::<Trade>()
            .start(Start::New)
            .follow()
            .await
            .unwrap();
        publish(&bus, [11]).await;
        assert_eq!(replay.event().await.unwrap().unwrap().number, 11);
        nats.kill().unwrap();
        nats.restart().await.unwrap();
        publish(&bus, 12..=20).await;
        for expected in 12..=20 {
            assert_eq!(replay.event().await.unwrap().unwrap().number, expected);
        }
    })
    .await;
}
