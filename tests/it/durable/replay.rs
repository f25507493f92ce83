//! Replays of a stream from a position, with a filter, and across a restart of the nats-server.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use micro_runtime::jetstream::StartFrom;
use micro_runtime::{Bus, Event as _};
use micro_testkit::within;
use micro_tests::market::{Trade, TradeFilter};

use super::market::{TIMEOUT, publish_trades, start_market, trade};

/// Replays from the position to the current end; returns the numbers of the trades.
async fn replay_numbers(bus: &Bus, start: StartFrom) -> Vec<u64> {
    let mut replay = bus
        .replay::<Trade>()
        .start_from(start)
        .open()
        .await
        .unwrap();
    let mut numbers = Vec::new();
    while let Some(trade) = replay.next().await.transpose().unwrap() {
        assert_eq!(trade.delivery.stream(), "MARKET");
        numbers.push(trade.number);
    }
    numbers
}

#[tokio::test]
async fn a_replay_starts_at_its_position() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        assert!(replay_numbers(&bus, StartFrom::First).await.is_empty());
        publish_trades(&bus, 1..=50).await;
        // sleep: the times of the two halves must differ by more than the clock skew.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let middle = SystemTime::now();
        // sleep: as above.
        tokio::time::sleep(Duration::from_millis(50)).await;
        publish_trades(&bus, 51..=100).await;
        assert_eq!(
            replay_numbers(&bus, StartFrom::First).await,
            (1..=100).collect::<Vec<_>>()
        );
        assert_eq!(
            replay_numbers(&bus, StartFrom::Sequence(90)).await,
            (90..=100).collect::<Vec<_>>()
        );
        assert_eq!(
            replay_numbers(&bus, StartFrom::Time(middle)).await,
            (51..=100).collect::<Vec<_>>()
        );
        assert!(replay_numbers(&bus, StartFrom::New).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_replay_filters_and_continues_after_an_undecodable_event() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=14).await;
        let filter = TradeFilter::new().symbol("S3");
        let mut replay = bus.replay::<Trade>().filter(filter).open().await.unwrap();
        for expected in [3, 10] {
            assert_eq!(replay.next().await.unwrap().unwrap().number, expected);
        }
        assert!(replay.next().await.is_none());

        let subject = trade(1).subject().unwrap();
        bus.publish_raw(subject, &b"\xff\xff"[..]).await.unwrap();
        publish_trades(&bus, [15]).await;
        let mut replay = bus
            .replay::<Trade>()
            .start_from(StartFrom::Sequence(15))
            .open()
            .await
            .unwrap();
        let status = replay.next().await.unwrap().unwrap_err();
        assert!(status.message().contains("market.v1.Trade"), "{status}");
        assert_eq!(replay.next().await.unwrap().unwrap().number, 15);
        assert!(replay.next().await.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_following_replay_survives_a_restart_of_the_nats_server() {
    within(Duration::from_secs(90), async {
        let (mut nats, bus) = start_market().await;
        publish_trades(&bus, 1..=10).await;
        let mut replay = bus
            .replay::<Trade>()
            .start_from(StartFrom::New)
            .follow()
            .open()
            .await
            .unwrap();
        publish_trades(&bus, [11]).await;
        assert_eq!(replay.next().await.unwrap().unwrap().number, 11);
        nats.kill().unwrap();
        nats.restart().await.unwrap();
        publish_trades(&bus, 12..=20).await;
        for expected in 12..=20 {
            assert_eq!(replay.next().await.unwrap().unwrap().number, expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_whose_consumer_is_deleted_continues_behind_the_last_event() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=2500).await;
        let api = async_nats::jetstream::new(bus.nats().unwrap().clone());
        let stream = api.get_stream("MARKET").await.unwrap();
        let delete_consumers = async || {
            let mut names = stream.consumer_names();
            while let Some(name) = names.try_next().await.unwrap() {
                stream.delete_consumer(&name).await.unwrap();
            }
        };
        let mut replay = bus.replay::<Trade>().open().await.unwrap();
        for expected in 1..=2500 {
            // At the first event, within the first request, at its end, and within a later one.
            if [1, 100, 500, 501, 1900].contains(&expected) {
                delete_consumers().await;
            }
            let trade = replay.next().await.unwrap().unwrap();
            assert_eq!(trade.number, expected);
        }
        assert!(replay.next().await.is_none());
    })
    .await;
}
