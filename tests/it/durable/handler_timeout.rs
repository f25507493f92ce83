//! The time limit of durable handlers: one that hangs is dropped, and one that reports progress is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::jetstream::{BatchSubscriber, Durable, DurableEvent};
use micro_runtime::{Bus, Context, ErrorKind, Server, Status, Subscriber};
use micro_testkit::within;
use micro_tests::market::Trade;

use super::dead_letter_stream::{DeadLetter, read_dead_letters};
use super::market::{TIMEOUT, publish_trades, start_market};
use super::recorder::{Outcome, Recorder};
use crate::until::until;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_exceeds_its_timeout_is_dropped_and_its_event_tried_again() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, [1]).await;
        let recorder = Recorder::new(|_, delivery| match delivery.attempt() {
            1 => Outcome::SucceedAfter(TIMEOUT),
            _ => Outcome::Succeed,
        });
        let durable = Durable::named("recorder")
            .handler_timeout(300 * MS)
            .backoff([20 * MS]);
        let server = Server::new(&bus).subscribe::<Trade>(recorder.clone(), durable);
        let server = server.start().await.unwrap();
        recorder
            .wait_for(|recorder| recorder.succeeded() == [1])
            .await;
        let attempts = recorder.attempts();
        assert_eq!(attempts.len(), 2);
        let between = attempts[1].at - attempts[0].at;
        assert!(between >= 300 * MS && between < 5_000 * MS, "{between:?}");
        let stats = server.events().remove(0);
        assert_eq!(stats.failed, 1);
        let text = stats.last_error.unwrap().to_string();
        let expected = "DEADLINE_EXCEEDED: the handler of market.v1.Trade did not end within 300 ms, the handler timeout of its consumer";
        assert_eq!(text, expected);
        server.shutdown().await.unwrap();
    })
    .await;
}

/// As many as handlers run at a time hang for good, and the events behind them are handled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung_handlers_stop_no_consumer_and_become_dead_letters() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, 1..=54).await;
        let recorder = Recorder::new(|trade, _| match trade.number {
            1..=4 => Outcome::SucceedAfter(TIMEOUT),
            _ => Outcome::Succeed,
        });
        let durable = |name| {
            Durable::named(name)
                .max_concurrent(4)
                .handler_timeout(300 * MS)
                .backoff([20 * MS])
                .max_attempts(2)
        };
        let batches = Recorder::new(|trade, _| match trade.number {
            1..=4 => Outcome::SucceedAfter(TIMEOUT),
            _ => Outcome::Succeed,
        });
        let server = Server::new(&bus)
            .subscribe::<Trade>(recorder.clone(), durable("single"))
            .subscribe_batch::<Trade>(batches.clone(), durable("batch").batch(1));
        let server = server.start().await.unwrap();
        for (name, recorder) in [("single", &recorder), ("batch", &batches)] {
            recorder
                .wait_for(|recorder| recorder.succeeded().len() == 50)
                .await;
            let letters = read_dead_letters(&bus, &format!("dlq.MARKET.{name}"), 4).await;
            for letter in &letters {
                assert_eq!(letter.header("Micro-Dead-Code"), "4");
            }
            let mut numbers = letters.iter().map(DeadLetter::number);
            assert!(numbers.all(|number| (1..=4).contains(&number)));
            for number in 1..=4 {
                assert_eq!(recorder.attempts_of(number).len(), 2, "{name} {number}");
            }
        }
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Takes longer than its timeout, and reports progress.
#[derive(Clone, Default)]
struct Progressing {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Progressing {
    async fn work(&self, ctx: Context) -> Result<(), Status> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        for _ in 0..10 {
            // sleep: the work.
            tokio::time::sleep(200 * MS).await;
            let before = ctx.deadline().unwrap();
            ctx.progress();
            assert!(ctx.deadline().unwrap() > before);
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Subscriber<Trade> for Progressing {
    async fn on_event(&self, ctx: Context, _: Trade) -> Result<(), Status> {
        assert_eq!(ctx.attempt(), 1);
        self.work(ctx).await
    }
}

impl BatchSubscriber<Trade> for Progressing {
    async fn on_batch(&self, ctx: Context, _: Vec<DurableEvent<Trade>>) -> Result<(), Status> {
        self.work(ctx).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_begins_the_timeout_anew() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        publish_trades(&bus, [1]).await;
        let (single, batch) = (Progressing::default(), Progressing::default());
        let durable = |name| {
            let durable = Durable::named(name).ack_wait(500 * MS);
            durable.handler_timeout(1_000 * MS)
        };
        let server = Server::new(&bus)
            .subscribe::<Trade>(single.clone(), durable("single"))
            .subscribe_batch::<Trade>(batch.clone(), durable("batch"));
        let server = server.start().await.unwrap();
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        until(|| count(&single.ended) == 1 && count(&batch.ended) == 1).await;
        until(|| server.events().iter().all(|stats| stats.handled == 1)).await;
        assert_eq!((count(&single.begun), count(&batch.begun)), (1, 1));
        server.shutdown().await.unwrap();
    })
    .await;
}

/// Blocks its thread at the first attempt, so that it cannot be dropped.
#[derive(Clone, Default)]
struct Blocking(Arc<AtomicUsize>);

impl Subscriber<Trade> for Blocking {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            // sleep: a handler that blocks.
            std::thread::sleep(Duration::from_secs(5));
        }
        Ok(())
    }
}

/// The progress of a handler that blocks is not reported for ever: another process gets its event.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_event_of_a_handler_that_blocks_goes_to_another_process() {
    within(TIMEOUT, async {
        let (nats, bus) = start_market().await;
        publish_trades(&bus, [1]).await;
        let blocking = Blocking::default();
        // A thread that is blocked may hold up its whole runtime: the first process has one of its own.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (url, handler) = (nats.url(), blocking.clone());
        let start = async move |url: String, handler: Blocking| {
            let bus = Bus::connect(url).await.unwrap();
            let durable = Durable::named("recorder")
                .ack_wait(300 * MS)
                .handler_timeout(300 * MS);
            let server = Server::new(&bus).subscribe::<Trade>(handler, durable);
            server.start().await.unwrap()
        };
        let first = runtime.spawn(start(url.clone(), handler.clone()));
        let first = first.await.unwrap();
        until(|| blocking.0.load(Ordering::SeqCst) == 1).await;
        let began = std::time::Instant::now();
        let second = start(url, handler).await;
        until(|| blocking.0.load(Ordering::SeqCst) == 2).await;
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
        for server in [first, second] {
            server.shutdown().await.unwrap();
        }
        runtime.shutdown_background();
    })
    .await;
}

#[tokio::test]
async fn durations_of_zero_fail_the_start() {
    within(TIMEOUT, async {
        let (_nats, bus) = start_market().await;
        let check = async |durable: Durable, expected: &str| {
            // The second start fails as the first one does.
            for _ in 0..2 {
                let recorder = Recorder::succeeding();
                let server = Server::new(&bus).subscribe::<Trade>(recorder, durable.clone());
                let error = server.start().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::JetStream, "{error}");
                assert!(error.to_string().contains(expected), "{error}");
            }
        };
        let named = || Durable::named("c");
        check(
            named().ack_wait(Duration::ZERO),
            "`ack_wait` of consumer `c` is zero",
        )
        .await;
        let expected = "`handler_timeout` of consumer `c` is zero";
        check(named().handler_timeout(Duration::ZERO), expected).await;
    })
    .await;
}
