//! Failures that no further attempt can mend: dead letters at once, of the event at fault alone.

use std::time::Duration;

use micro_runtime::jetstream::Durable;
use micro_runtime::{Code, Context, Server, Status};
use micro_testkit::within;
use micro_tests::market::Trade;

use super::dead_letter_stream::{DeadLetter, read_dead_letters};
use super::market::{TIMEOUT, publish_trades, start_market};
use super::recorder::{Outcome, Recorder};

const MS: Duration = Duration::from_millis(1);

/// Failure of the trade with this number; `None` for one that succeeds.
fn failure(number: u64) -> Option<Status> {
    match number {
        1 => Some(Status::invalid_argument("no such venue")),
        2 => Some(Status::out_of_range("a price below zero")),
        3 => Some(Status::unimplemented("no swaps")),
        4 => Some(Context::for_test().reject("the account was closed")),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn final_failures_and_rejections_become_dead_letters_at_once_by_default() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=7).await;
        let recorder = Recorder::new(|trade, delivery| match (trade.number, delivery.attempt()) {
            (5, 1) => Outcome::FailWith(Status::not_found("no account yet")),
            (6, 1) => Outcome::FailWith(Status::failed_precondition("not open yet")),
            (number, _) => failure(number).map_or(Outcome::Succeed, Outcome::FailWith),
        });
        let durable = Durable::named("recorder").backoff([20 * MS]);
        let server = Server::new(&bus).subscribe::<Trade>(recorder.clone(), durable);
        let server = server.start().await.unwrap();
        let mut letters = read_dead_letters(&bus, "dlq.MARKET.recorder", 4).await;
        letters.sort_by_key(DeadLetter::number);
        for (letter, number) in letters.iter().zip(1..) {
            let status = failure(number).unwrap();
            let code = (status.code() as u32).to_string();
            assert_eq!(letter.number(), number);
            assert_eq!(letter.header("Micro-Dead-Code"), code);
            assert_eq!(letter.header("Micro-Dead-Reason"), status.message());
            assert_eq!(recorder.attempts_of(number).len(), 1);
        }
        recorder
            .wait_for(|recorder| recorder.succeeded() == [5, 6, 7])
            .await;
        assert_eq!(recorder.attempts_of(5).len(), 2);
        assert_eq!(recorder.attempts_of(6).len(), 2);
        server.shutdown().await.unwrap();
    })
    .await;
}

/// A batch fails as a whole: the others in it are innocent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_final_failures_buries_nothing_but_those() {
    within(TIMEOUT, async {
        for attempts in [2, 5] {
            let (_nats, bus) = start_market().await;
            publish_trades(&bus, 1..=60).await;
            let recorder = Recorder::new(|trade, _| {
                failure(trade.number).map_or(Outcome::Succeed, Outcome::FailWith)
            });
            let durable = Durable::named("recorder")
                .batch(64)
                .backoff([20 * MS])
                .max_attempts(attempts);
            let server = Server::new(&bus).subscribe_batch::<Trade>(recorder.clone(), durable);
            let server = server.start().await.unwrap();
            let letters = read_dead_letters(&bus, "dlq.MARKET.recorder", 4).await;
            let mut numbers: Vec<u64> = letters.iter().map(DeadLetter::number).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, [1, 2, 3, 4]);
            recorder
                .wait_for(|recorder| recorder.succeeded().len() == 56)
                .await;
            server.shutdown().await.unwrap();
            let largest = recorder
                .attempts()
                .iter()
                .map(|attempt| attempt.batch_len)
                .max();
            assert!(largest > Some(8), "{largest:?}");
            let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
            let stream = jetstream.get_stream("MARKET-DLQ").await.unwrap();
            assert_eq!(stream.cached_info().state.messages, 4);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_dead_letters_failures_are_tried_without_end_and_rejections_dropped() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, [4, 9]).await;
        let recorder = Recorder::new(|trade, delivery| match (trade.number, delivery.attempt()) {
            (9, ..=7) => Outcome::FailWith(Status::new(Code::Aborted, "not yet")),
            (number, _) => failure(number).map_or(Outcome::Succeed, Outcome::FailWith),
        });
        let durable = Durable::named("recorder")
            .backoff([20 * MS])
            .without_dead_letters();
        let server = Server::new(&bus).subscribe::<Trade>(recorder.clone(), durable);
        let server = server.start().await.unwrap();
        recorder
            .wait_for(|recorder| recorder.succeeded() == [9])
            .await;
        assert_eq!(recorder.attempts_of(9).len(), 8);
        assert_eq!(recorder.attempts_of(4).len(), 1);
        assert_eq!(server.events()[0].given_up, 1);
        server.shutdown().await.unwrap();
        // Neither stream is there: nothing is kept, and nothing is counted.
        let jetstream = async_nats::jetstream::new(bus.nats().unwrap().clone());
        for name in ["MARKET-DLQ", "MARKET-ATTEMPTS"] {
            assert!(jetstream.get_stream(name).await.is_err(), "{name}");
        }
    })
    .await;
}
