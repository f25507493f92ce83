//! Durable consumers: acknowledgment, redelivery, ordering, batches, filters and shutdown.

use std::time::Duration;

use micro_runtime::event::EventStats;
use micro_runtime::jetstream::{Durable, StartFrom};
use micro_runtime::{Bus, ErrorKind, RunningServer, Server};
use micro_testkit::within;
use micro_tests::market::{ClosedFilter, Trade, TradeFilter};

use super::dead_letter_stream::read_dead_letters;
use super::market::{TIMEOUT, market_stream, publish_trades, start_market};
use super::recorder::{Outcome, Recorder};

const MS: Duration = Duration::from_millis(1);

/// Waits until `count` events are counted, which is shortly after their handlers have returned.
async fn wait_for_handled(server: &RunningServer, count: u64) -> EventStats {
    while server.events()[0].handled < count {
        tokio::task::yield_now().await;
    }
    server.events()[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_handled_once_and_acknowledged() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=500).await;
        let recorder = Recorder::succeeding();
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        publish_trades(&bus, 501..=1_000).await;
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 1_000)
            .await;
        assert_eq!(recorder.succeeded(), (1..=1_000).collect::<Vec<_>>());
        assert_eq!(recorder.attempts().len(), 1_000);
        let stats = wait_for_handled(&server, 1_000).await;
        assert_eq!((stats.received, stats.handled), (1_000, 1_000));
        assert_eq!(stats.group.as_deref(), Some("recorder"));
        server.shutdown().await.unwrap();

        // The consumer keeps its position: a new subscriber receives only later events.
        publish_trades(&bus, [1_001]).await;
        let later = Recorder::succeeding();
        let server = Server::new(&bus)
            .subscribe::<Trade>(later.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        later
            .wait_for(|recorder| !recorder.succeeded().is_empty())
            .await;
        assert_eq!(later.succeeded(), [1_001]);
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_event_is_redelivered_after_its_backoff_and_blocks_no_other() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=20).await;
        let recorder = Recorder::new(|trade, delivery| match (trade.number, delivery.count()) {
            (3, 1) => Outcome::Fail,
            (3, 2) => Outcome::Panic,
            _ => Outcome::Succeed,
        });
        let durable = Durable::named("recorder").backoff([300 * MS, 600 * MS]);
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 20)
            .await;
        let attempts = recorder.attempts_of(3);
        let counts: Vec<u64> = attempts
            .iter()
            .map(|attempt| attempt.delivery.count())
            .collect();
        assert_eq!(counts, [1, 2, 3]);
        let delays = [
            attempts[1].at - attempts[0].at,
            attempts[2].at - attempts[1].at,
        ];
        assert!(delays[0] >= 290 * MS && delays[0] < 580 * MS, "{delays:?}");
        assert!(delays[1] >= 590 * MS, "{delays:?}");
        let others = recorder
            .attempts()
            .into_iter()
            .filter(|attempt| attempt.number != 3);
        assert!(
            others
                .map(|attempt| attempt.at)
                .all(|at| at < attempts[1].at)
        );
        assert_eq!(recorder.attempts().len(), 22);
        let stats = wait_for_handled(&server, 20).await;
        assert_eq!((stats.failed, stats.panicked, stats.handled), (1, 1, 20));
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_acks_prevent_redelivery_of_running_and_queued_events() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=3).await;
        let recorder = Recorder::new(|_, _| Outcome::SucceedAfter(1_500 * MS));
        let durable = Durable::named("slow")
            .max_concurrent(1)
            .prefetch(2)
            .ack_wait(1_000 * MS);
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 3)
            .await;
        assert_eq!(recorder.attempts().len(), 3);
        assert!(
            recorder
                .attempts()
                .iter()
                .all(|attempt| !attempt.delivery.is_redelivered())
        );
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_consumer_handles_one_event_at_a_time_despite_failures() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=30).await;
        let recorder =
            Recorder::new(
                |trade, delivery| match (trade.number % 10, delivery.count()) {
                    (0, 1) => Outcome::Fail,
                    _ => Outcome::SucceedAfter(MS),
                },
            );
        let durable = || Durable::named("ledger").ordered().backoff([50 * MS]);
        let servers = [
            Server::new(&bus)
                .subscribe::<Trade>(recorder.clone(), durable())
                .start()
                .await
                .unwrap(),
            Server::new(&bus)
                .subscribe::<Trade>(recorder.clone(), durable())
                .start()
                .await
                .unwrap(),
        ];
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 30)
            .await;
        let numbers: Vec<u64> = recorder
            .attempts()
            .iter()
            .map(|attempt| attempt.number)
            .collect();
        let mut expected: Vec<u64> = (1..=30).chain([10, 20, 30]).collect();
        expected.sort_unstable();
        assert_eq!(numbers, expected);
        for server in servers {
            server.shutdown().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_batch_is_redelivered_event_by_event_up_to_the_dead_letter() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=200).await;
        let recorder = Recorder::new(|trade, _| match trade.number {
            7 => Outcome::Fail,
            _ => Outcome::Succeed,
        });
        let durable = Durable::named("recorder")
            .batch(64)
            .backoff([50 * MS])
            .max_attempts(4)
            .dead_letter();
        let server = Server::new(&bus)
            .subscribe_batch::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        recorder
            .wait_for(|recorder| recorder.attempts_of(7).len() == 4)
            .await;
        recorder
            .wait_for(|recorder| recorder.attempts_of(200).len() == 1)
            .await;
        let largest = recorder
            .attempts()
            .iter()
            .map(|attempt| attempt.batch_len)
            .max();
        assert!(largest > Some(8) && largest <= Some(64), "{largest:?}");
        let attempts = recorder.attempts_of(7);
        assert!(attempts[0].batch_len > 1);
        assert_eq!((attempts[2].batch_len, attempts[3].batch_len), (1, 1));
        server.shutdown().await.unwrap();
        let letters = read_dead_letters(&bus, "dlq.MARKET.recorder", 1).await;
        assert_eq!(letters[0].number(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_acknowledges_every_pulled_event() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=2_000).await;
        let recorder = Recorder::new(|_, _| Outcome::SucceedAfter(3 * MS));
        for _ in 0..10 {
            let before = recorder.succeeded().len();
            let server = Server::new(&bus)
                .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
                .start()
                .await
                .unwrap();
            recorder
                .wait_for(|recorder| recorder.succeeded().len() > before + 50)
                .await;
            server.shutdown().await.unwrap();
        }
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 2_000)
            .await;
        server.shutdown().await.unwrap();
        // No event was delivered twice: each shutdown acknowledged all that it had pulled.
        assert_eq!(recorder.attempts().len(), 2_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_starts_at_its_position_and_applies_its_filter() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=70).await;
        let check = async |durable: Durable, expected: Vec<u64>| {
            let recorder = Recorder::succeeding();
            let server = Server::new(&bus)
                .subscribe::<Trade>(recorder.clone(), durable)
                .start()
                .await
                .unwrap();
            recorder
                .wait_for(|recorder| recorder.succeeded().len() == expected.len())
                .await;
            assert_eq!(recorder.succeeded(), expected);
            server.shutdown().await.unwrap();
        };
        let filtered = Durable::named("filtered").filter(TradeFilter::new().symbol("S3"));
        check(
            filtered,
            (1..=70).filter(|number| number % 7 == 3).collect(),
        )
        .await;
        check(
            Durable::named("late").start_from(StartFrom::Sequence(61)),
            (61..=70).collect(),
        )
        .await;
        check(Durable::named("new").start_from(StartFrom::New), Vec::new()).await;
        publish_trades(&bus, [71]).await;
        check(Durable::named("new").start_from(StartFrom::New), vec![71]).await;
    })
    .await;
}

#[tokio::test]
async fn an_invalid_consumer_fails_the_start() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let check = async |bus: &Bus, durable: Durable, expected: &str| {
            let server = Server::new(bus).subscribe::<Trade>(Recorder::succeeding(), durable);
            let error = server.start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::JetStream, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        let server = Server::new(&bus)
            .subscribe::<Trade>(Recorder::succeeding(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        server.shutdown().await.unwrap();
        let other = Durable::named("recorder").ordered().ack_wait(5_000 * MS);
        let expected = "consumer `recorder` of stream `MARKET` is not as declared:
  ack_wait: expected 5s, found 30s
  max_ack_pending: expected 1, found unlimited
change the declaration or its `on_difference`, or what is there (`nats consumer edit MARKET recorder`)";
        check(&bus, other, expected).await;
        check(&bus, Durable::named("c").stream("NONE"), "`NONE`").await;
        check(&bus, Durable::named("a.b"), "`a.b`").await;
        let filter = ClosedFilter::new();
        check(
            &bus,
            Durable::named("c").filter(filter),
            "picks no market.v1.Trade",
        )
        .await;
        let elsewhere = bus.clone().with_prefix("elsewhere").unwrap();
        check(
            &elsewhere,
            Durable::named("c"),
            "no stream stores `elsewhere.evt.market.trade.*.*`",
        )
        .await;
        check(
            &Bus::in_process(),
            Durable::named("c"),
            "durable events need JetStream",
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_consumer_is_created_again() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let recorder = Recorder::succeeding();
        let server = Server::new(&bus)
            .declare(market_stream())
            .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        publish_trades(&bus, 1..=10).await;
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 10)
            .await;
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        stream.delete_consumer("recorder").await.unwrap();
        publish_trades(&bus, 11..=20).await;
        recorder
            .wait_for(|recorder| recorder.succeeded().len() == 20)
            .await;
        server.shutdown().await.unwrap();
    })
    .await;
}
