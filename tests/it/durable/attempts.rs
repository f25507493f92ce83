//! Attempts: what no handler has begun with is none, and an event that ends its processes takes no other with it.

use std::collections::BTreeSet;
use std::time::Duration;

use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::within;
use micro_tests::market::Trade;

use super::dead_letter_stream::read_dead_letters;
use super::market::{TIMEOUT, publish_trades, start_market};
use super::recorder::{Outcome, Recorder};
use super::recorder_files::RecorderFiles;

const MS: Duration = Duration::from_millis(1);

async fn start(bus: &Bus, recorder: &Recorder, durable: Durable) -> RunningServer {
    let server = Server::new(bus)
        .grace(Duration::ZERO)
        .subscribe::<Trade>(recorder.clone(), durable);
    server.start().await.unwrap()
}

async fn letters(bus: &Bus) -> u64 {
    let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
    let stream = jetstream.get_stream("MARKET-DLQ").await.unwrap();
    stream.cached_info().state.messages
}

/// Each stop gives 20 events back that nothing has begun with, more often than an event has attempts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_stop_gives_back_unbegun_have_had_no_attempt() {
    within(TIMEOUT, async {
        for limit in [1, 3] {
            let (_nats, bus) = start_market().await;
            publish_trades(&bus, 1..=21).await;
            let durable = || {
                Durable::named("recorder")
                    .max_concurrent(1)
                    .prefetch(20)
                    .max_attempts(limit)
            };
            let mut begun = BTreeSet::new();
            for _ in 0..6 {
                let hanging = Recorder::new(|_, _| Outcome::SucceedAfter(TIMEOUT));
                let server = start(&bus, &hanging, durable()).await;
                hanging
                    .wait_for(|recorder| !recorder.attempts().is_empty())
                    .await;
                while server.events()[0].received < 21 - letters(&bus).await {
                    tokio::task::yield_now().await;
                }
                server.shutdown().await.unwrap();
                begun.extend(hanging.attempts().iter().map(|attempt| attempt.number));
            }
            let recorder = Recorder::succeeding();
            let server = start(&bus, &recorder, durable()).await;
            let buried = || async { letters(&bus).await as usize };
            while recorder.succeeded().len() + buried().await < 21 {
                tokio::task::yield_now().await;
            }
            server.shutdown().await.unwrap();
            let attempts = recorder.attempts();
            let untouched = attempts
                .iter()
                .filter(|attempt| !begun.contains(&attempt.number));
            let mut count = 0;
            for attempt in untouched {
                assert_eq!(attempt.delivery.attempt(), 1, "{attempt:?}");
                assert!(attempt.delivery.count() >= 6, "{attempt:?}");
                count += 1;
            }
            assert_eq!(count, 21 - begun.len());
            println!(
                "limit {limit}: {} begun, {} letters",
                begun.len(),
                buried().await
            );
        }
    })
    .await;
}

/// The event aborts each process that handles it. Its neighbors are handled, and it is begun as often as it may be, and
/// once more, since nothing tells of the first time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_ends_its_processes_is_buried_alone() {
    const POISON: u64 = 70;
    within(2 * TIMEOUT, async {
        let (nats, bus) = start_market().await;
        publish_trades(&bus, 1..=200).await;
        let recorders = RecorderFiles::new();
        let mut processes = 0;
        let start = || recorders.spawn_recorder(&nats.url(), "one", Some(POISON));
        let mut process = start();
        let expected: BTreeSet<u64> = (1..=200).filter(|number| *number != POISON).collect();
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        let buried = async || match jetstream.get_stream("MARKET-DLQ").await {
            Ok(stream) => stream.cached_info().state.messages,
            Err(_) => 0,
        };
        while buried().await == 0 || recorders.recorded() != expected {
            if process.wait(10 * MS).await.is_ok() {
                processes += 1;
                process = start();
            }
        }
        assert_eq!(buried().await, 1);
        let letters = read_dead_letters(&bus, "dlq.MARKET.recorder", 1).await;
        assert_eq!(letters[0].number(), POISON);
        let attempts = recorders.aborted("one");
        println!("begun at attempts {attempts:?} in {processes} processes");
        // The first one has left no record.
        assert_eq!(attempts, [1, 1, 2, 3, 4, 5]);
        process.kill().unwrap();
    })
    .await;
}

/// A failure that the handler returns makes no suspect: redeliveries run at the same time as others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_events_are_tried_again_side_by_side() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=16).await;
        let recorder = Recorder::new(|_, delivery| match delivery.attempt() {
            1 | 2 => Outcome::Fail,
            _ => Outcome::SucceedAfter(1_000 * MS),
        });
        let durable = Durable::named("recorder").backoff([50 * MS]);
        let server = start(&bus, &recorder, durable).await;
        recorder
            .wait_for(|recorder| recorder.attempts().len() == 48)
            .await;
        let third: Vec<_> = recorder
            .attempts()
            .into_iter()
            .filter(|attempt| attempt.delivery.attempt() == 3)
            .collect();
        assert_eq!(third.len(), 16);
        let first = third.iter().map(|attempt| attempt.at).min().unwrap();
        let last = third.iter().map(|attempt| attempt.at).max().unwrap();
        assert!(last - first < 900 * MS, "{:?}", last - first);
        server.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn two_handlers_under_one_durable_name_fail_the_start() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let durable = || Durable::named("recorder");
        let server = Server::new(&bus)
            .subscribe::<Trade>(Recorder::succeeding(), durable())
            .subscribe_batch::<Trade>(Recorder::succeeding(), durable());
        let error = server.start().await.unwrap_err().to_string();
        let expected = "two handlers of this server consume stream `MARKET` as `recorder`";
        assert!(error.contains(expected), "{error}");
    })
    .await;
}
