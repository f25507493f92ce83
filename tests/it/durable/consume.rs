//! Durable consumers: acknowledged after success, delivered again after failure, shared, drained.

use std::time::Duration;

use micro_runtime::{Bus, Durable, ErrorKind, EventStats, RunningServer, Server, Start};
use micro_testkit::within;
use micro_tests::market::{ClosedFilter, Trade, TradeFilter};

use super::recorder::{Outcome, Recorder};
use super::{LIMIT, market, market_stream, publish};

const MS: Duration = Duration::from_millis(1);

/// An event is counted a moment after its handler has returned.
async fn handled(server: &RunningServer, count: u64) -> EventStats {
    while server.events()[0].handled < count {
        tokio::task::yield_now().await;
    }
    server.events()[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_handled_once_and_acknowledged() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=500).await;
        let recorder = Recorder::willing();
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        publish(&bus, 501..=1_000).await;
        recorder.wait_for(|seen| seen.done().len() == 1_000).await;
        assert_eq!(recorder.done(), (1..=1_000).collect::<Vec<_>>());
        assert_eq!(recorder.seen().len(), 1_000);
        let stats = handled(&server, 1_000).await;
        assert_eq!((stats.received, stats.handled), (1_000, 1_000));
        assert_eq!(stats.group.as_deref(), Some("recorder"));
        server.shutdown().await.unwrap();

        // The place is kept: who comes later gets what came later.
        publish(&bus, [1_001]).await;
        let later = Recorder::willing();
        let server = Server::new(&bus)
            .subscribe::<Trade>(later.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        later.wait_for(|seen| !seen.done().is_empty()).await;
        assert_eq!(later.done(), [1_001]);
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_comes_again_after_its_delay_and_holds_up_nobody() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=20).await;
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
        recorder.wait_for(|seen| seen.done().len() == 20).await;
        let looks = recorder.looks(3);
        let counts: Vec<u64> = looks.iter().map(|look| look.delivery.count()).collect();
        assert_eq!(counts, [1, 2, 3]);
        let waits = [looks[1].at - looks[0].at, looks[2].at - looks[1].at];
        assert!(waits[0] >= 290 * MS && waits[0] < 580 * MS, "{waits:?}");
        assert!(waits[1] >= 590 * MS, "{waits:?}");
        let others = recorder.seen().into_iter().filter(|seen| seen.number != 3);
        assert!(others.map(|seen| seen.at).all(|at| at < looks[1].at));
        assert_eq!(recorder.seen().len(), 22);
        let stats = handled(&server, 20).await;
        assert_eq!((stats.failed, stats.panicked, stats.handled), (1, 1, 20));
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_keeps_a_long_handler_and_those_behind_it_from_redelivery() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=3).await;
        let recorder = Recorder::new(|_, _| Outcome::SucceedAfter(1_500 * MS));
        let durable = Durable::named("slow")
            .workers(1)
            .prefetch(2)
            .ack_wait(1_000 * MS);
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        recorder.wait_for(|seen| seen.done().len() == 3).await;
        assert_eq!(recorder.seen().len(), 3);
        assert!(
            recorder
                .seen()
                .iter()
                .all(|seen| !seen.delivery.is_redelivered())
        );
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordered_handles_one_at_a_time_whatever_fails() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=30).await;
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
        recorder.wait_for(|seen| seen.done().len() == 30).await;
        let numbers: Vec<u64> = recorder.seen().iter().map(|seen| seen.number).collect();
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
async fn batches_are_acknowledged_together_and_a_bad_one_comes_alone() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=200).await;
        let recorder = Recorder::new(|trade, _| match trade.number {
            7 => Outcome::Fail,
            _ => Outcome::Succeed,
        });
        let durable = Durable::named("recorder")
            .batch(64)
            .backoff([50 * MS])
            .max_deliver(4)
            .dead_letter();
        let server = Server::new(&bus)
            .subscribe_batch::<Trade>(recorder.clone(), durable)
            .start()
            .await
            .unwrap();
        recorder.wait_for(|seen| seen.looks(7).len() == 4).await;
        recorder.wait_for(|seen| seen.looks(200).len() == 1).await;
        let largest = recorder.seen().iter().map(|seen| seen.together).max();
        assert!(largest > Some(8) && largest <= Some(64), "{largest:?}");
        let looks = recorder.looks(7);
        assert!(looks[0].together > 1);
        assert_eq!((looks[2].together, looks[3].together), (1, 1));
        server.shutdown().await.unwrap();
        let letters = super::dead_letters::letters(&bus, "dlq.MARKET.recorder", 1).await;
        assert_eq!(letters[0].number(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_what_was_taken_and_gives_up_nothing() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=2_000).await;
        let recorder = Recorder::new(|_, _| Outcome::SucceedAfter(3 * MS));
        for _ in 0..10 {
            let before = recorder.done().len();
            let server = Server::new(&bus)
                .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
                .start()
                .await
                .unwrap();
            recorder
                .wait_for(|seen| seen.done().len() > before + 50)
                .await;
            server.shutdown().await.unwrap();
        }
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        recorder.wait_for(|seen| seen.done().len() == 2_000).await;
        server.shutdown().await.unwrap();
        // Nothing was delivered twice: each stop acknowledged all that it had taken.
        assert_eq!(recorder.seen().len(), 2_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_begins_where_it_is_told_to_and_takes_what_it_picks() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        publish(&bus, 1..=70).await;
        let check = async |durable: Durable, expected: Vec<u64>| {
            let recorder = Recorder::willing();
            let server = Server::new(&bus)
                .subscribe::<Trade>(recorder.clone(), durable)
                .start()
                .await
                .unwrap();
            recorder
                .wait_for(|seen| seen.done().len() == expected.len())
                .await;
            assert_eq!(recorder.done(), expected);
            server.shutdown().await.unwrap();
        };
        let picked = Durable::named("picked").filter(TradeFilter::new().symbol("S3"));
        check(picked, (1..=70).filter(|number| number % 7 == 3).collect()).await;
        check(
            Durable::named("late").start(Start::Sequence(61)),
            (61..=70).collect(),
        )
        .await;
        check(Durable::named("new").start(Start::New), Vec::new()).await;
        publish(&bus, [71]).await;
        check(Durable::named("new").start(Start::New), vec![71]).await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_consumed_is_said_at_start() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        let check = async |bus: &Bus, durable: Durable, expected: &str| {
            let server = Server::new(bus).subscribe::<Trade>(Recorder::willing(), durable);
            let error = server.start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::JetStream, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        let server = Server::new(&bus)
            .subscribe::<Trade>(Recorder::willing(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        server.shutdown().await.unwrap();
        let other = Durable::named("recorder").ordered().ack_wait(5_000 * MS);
        let expected = "consumer `recorder` of stream `MARKET` is not as declared:
  ack_wait: expected 5s, found 30s
  max_ack_pending: expected 1, found 1000
change the declaration, or what is there (`nats consumer edit MARKET recorder`)";
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
async fn a_consumer_that_is_deleted_is_made_again() {
    within(LIMIT, async {
        let (_nats, bus) = market().await;
        let recorder = Recorder::willing();
        let server = Server::new(&bus)
            .stream(market_stream())
            .subscribe::<Trade>(recorder.clone(), Durable::named("recorder"))
            .start()
            .await
            .unwrap();
        publish(&bus, 1..=10).await;
        recorder.wait_for(|seen| seen.done().len() == 10).await;
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        let stream = jetstream.get_stream("MARKET").await.unwrap();
        stream.delete_consumer("recorder").await.unwrap();
        publish(&bus, 11..=20).await;
        recorder.wait_for(|seen| seen.done().len() == 20).await;
        server.shutdown().await.unwrap();
    })
    .await;
}
