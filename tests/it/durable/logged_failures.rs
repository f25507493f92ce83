//! The log of failures of durable events: one line for each, which states what becomes of the event.

use std::time::Duration;

use micro_runtime::jetstream::{BatchSubscriber, Delivery, Durable, DurableEvent};
use micro_runtime::{Bus, Context, Event as _, Server, Status, Subscriber};
use micro_testkit::within;
use micro_tests::market::Trade;
use tracing::Level;

use super::dead_letter_stream::read_dead_letters;
use super::market::{TIMEOUT, publish_trades, start_market, trade};
use super::recorder::{Outcome, Recorder};
use crate::log_lines::{LogLine, LogLines};

const MS: Duration = Duration::from_millis(1);

fn fails_at(delivery: &Delivery, count: u64, outcome: Outcome) -> Outcome {
    match delivery.count() == count {
        true => outcome,
        false => Outcome::Succeed,
    }
}

/// Checks that the log of micro-runtime is one line with all of these.
fn check_line(log: &LogLines, level: Level, parts: &[&str]) {
    let lines = log.of_runtime();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].level, level, "{lines:?}");
    for part in parts {
        assert!(lines[0].text.contains(part), "{part}: {lines:?}");
    }
}

/// Publishes one trade, and waits until this consumer has handled it, or given it up.
async fn consume_one(bus: &Bus, recorder: Recorder, durable: Durable) {
    publish_trades(bus, [1]).await;
    let server = Server::new(bus).subscribe::<Trade>(recorder.clone(), durable);
    let server = server.start().await.unwrap();
    recorder
        .wait_for(|recorder| !recorder.succeeded().is_empty())
        .await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failure_and_a_panic_are_one_line_with_the_delay() {
    within(TIMEOUT, async {
        let durable = || Durable::named("recorder").backoff([7 * MS]);
        let always = ["market.v1.Trade", "MARKET", "recorder", "sequence=1", "7ms"];
        let (_nats, bus) = start_market().await;
        let (log, guard) = LogLines::start();
        let failing = Recorder::new(|_, delivery| fails_at(delivery, 1, Outcome::Fail));
        consume_one(&bus, failing, durable()).await;
        let parts = [&always[..], &["failed", "UNAVAILABLE: no room for 1"]].concat();
        check_line(&log, Level::WARN, &parts);
        drop(guard);

        let (_nats, bus) = start_market().await;
        let (log, _guard) = LogLines::start();
        let panicking = Recorder::new(|_, delivery| fails_at(delivery, 1, Outcome::Panic));
        consume_one(&bus, panicking, durable()).await;
        let parts = [&always[..], &["panicked", "asked to panic"]].concat();
        check_line(&log, Level::ERROR, &parts);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_given_up_is_one_line() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, [1]).await;
        let (log, guard) = LogLines::start();
        let failing = Recorder::new(|_, _| Outcome::Fail);
        let durable = || Durable::named("recorder").max_attempts(1).dead_letter();
        let server = Server::new(&bus).subscribe::<Trade>(failing, durable());
        let server = server.start().await.unwrap();
        read_dead_letters(&bus, "dlq.MARKET.recorder", 1).await;
        let given_up = ["an event is given up", "market.v1.Trade", "no room for 1"];
        check_line(&log, Level::ERROR, &given_up);
        drop(guard);

        let (log, _guard) = LogLines::start();
        let undecodable = trade(2).subject().unwrap();
        bus.publish_raw(&undecodable, &b"\xff\xff"[..])
            .await
            .unwrap();
        read_dead_letters(&bus, "dlq.MARKET.recorder", 2).await;
        // The second line within 30 s comes with the stop.
        server.shutdown().await.unwrap();
        let given_up = ["an event is given up", "INVALID_ARGUMENT", "sequence=2"];
        check_line(&log, Level::ERROR, &given_up);
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_fails_is_one_line() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=5).await;
        let (log, _guard) = LogLines::start();
        let failing = Recorder::new(|_, delivery| fails_at(delivery, 1, Outcome::Fail));
        let durable = Durable::named("recorder").backoff([7 * MS]);
        let server = Server::new(&bus).subscribe_batch::<Trade>(failing.clone(), durable);
        let server = server.start().await.unwrap();
        let attempts = |recorder: &Recorder| recorder.attempts();
        failing
            .wait_for(|recorder| attempts(recorder).len() >= 10)
            .await;
        server.shutdown().await.unwrap();
        let of_first = |count: u64| {
            let mut all = attempts(&failing);
            all.retain(|attempt| attempt.delivery.count() == count);
            all
        };
        assert_eq!(of_first(1).len(), 5);
        // Each failed batch is a line at once or later, however many events it had, and all events are counted.
        let lines = log.of_runtime();
        let count = |line: &LogLine| line.number("count");
        assert_eq!(lines.iter().map(count).sum::<u64>(), 5, "{lines:?}");
        assert!(lines.len() <= 2, "{lines:?}");
    })
    .await;
}

/// Fails as a handler does that uses `?` on an error of the system.
struct MissingFile;

impl Subscriber<Trade> for MissingFile {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        std::fs::read("/no/such/file")?;
        Ok(())
    }
}

impl BatchSubscriber<Trade> for MissingFile {
    async fn on_batch(&self, ctx: Context, events: Vec<DurableEvent<Trade>>) -> Result<(), Status> {
        for event in events {
            self.on_event(ctx.clone(), event.event).await?;
        }
        Ok(())
    }
}

/// Neither leaves the realm of the operators.
#[tokio::test]
async fn log_and_dead_letter_have_the_error_behind_a_status() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, [1]).await;
        let (log, _guard) = LogLines::start();
        let durable = |name| Durable::named(name).max_attempts(1).dead_letter();
        let server = Server::new(&bus)
            .subscribe::<Trade>(MissingFile, durable("one"))
            .subscribe_batch::<Trade>(MissingFile, durable("batch"));
        let server = server.start().await.unwrap();
        for subject in ["dlq.MARKET.one", "dlq.MARKET.batch"] {
            let letters = read_dead_letters(&bus, subject, 1).await;
            let reason = letters[0].header("Micro-Dead-Reason");
            assert!(reason.contains("No such file"), "{reason}");
        }
        let lines = log.containing("No such file");
        assert_eq!(lines.len(), 2, "{lines:?}");
        server.shutdown().await.unwrap();
    })
    .await;
}
