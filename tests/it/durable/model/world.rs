//! The world of a case: a nats-server, the publisher, the workers, and the operator.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{FromConsumer as _, pull};
use micro_runtime::jetstream::{Durable, EventStream, OnDifference};
use micro_runtime::{Bus, Event as _, RunningServer, Server};
use micro_testkit::NatsServer;
use micro_tests::market::Trade;
use prost::Message as _;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ledger::Ledger;
use super::step::{Plan, Step};
use crate::durable::market::{market_stream, trade, trade_id};

/// Attempts at an event before it becomes a letter.
const ATTEMPTS: u64 = 3;
/// Maximum time of one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum time until everything is accounted for, once the steps are over.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of workers at a time.
const MAX_WORKERS: usize = 3;

/// Everything of one case.
pub(super) struct World {
    seed: u64,
    nats: NatsServer,
    bus: Bus,
    /// Connection of the operator.
    operator: async_nats::Client,
    ledger: Ledger,
    workers: Vec<Worker>,
    publishing: JoinSet<()>,
    next_number: u64,
}

/// A process that consumes, as far as nats-server can tell: a runtime and a connection of its own.
struct Worker {
    runtime: Runtime,
    server: RunningServer,
    _bus: Bus,
}

fn durable() -> Durable {
    Durable::named("recorder")
        .max_attempts(ATTEMPTS)
        .backoff([Duration::from_millis(50)])
        .handler_timeout(Duration::from_secs(2))
        .ack_wait(Duration::from_secs(1))
        .on_difference(OnDifference::Keep)
}

/// The stream, whose settings operators may change.
fn stream() -> EventStream {
    market_stream().on_difference(OnDifference::Keep)
}

impl Worker {
    async fn start(url: String, ledger: Ledger) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let starting = runtime.spawn(async move {
            let bus = Bus::connect(url).await.unwrap();
            let server = Server::new(&bus)
                .grace(Duration::from_secs(3))
                .declare(stream())
                .subscribe::<Trade>(ledger, durable());
            (server.start().await.unwrap(), bus)
        });
        let (server, bus) = starting.await.unwrap();
        Self {
            runtime,
            server,
            _bus: bus,
        }
    }

    async fn stop(self) {
        // A stop whose connection is away returns an error.
        let _ = self.server.shutdown().await;
        self.runtime.shutdown_background();
    }

    fn crash(self) {
        self.runtime.shutdown_background();
        std::mem::forget(self.server);
    }
}

impl World {
    pub(super) async fn start(seed: u64) -> Self {
        let nats = NatsServer::builder().jetstream().start().await.unwrap();
        let bus = Bus::connect(nats.url()).await.unwrap();
        bus.declare(&stream()).await.unwrap();
        let operator = async_nats::connect(nats.url()).await.unwrap();
        Self {
            seed,
            nats,
            bus,
            operator,
            ledger: Ledger::default(),
            workers: Vec::new(),
            publishing: JoinSet::new(),
            next_number: 1,
        }
    }

    pub(super) async fn take(&mut self, step: Step) {
        let text = format!("case {}: {step:?} took too long", self.seed);
        let taken = timeout(STEP_TIMEOUT, self.take_step(step)).await;
        taken.expect(&text);
    }

    async fn take_step(&mut self, step: Step) {
        match step {
            Step::Publish(count, seed) => self.publish(count, seed),
            Step::Start if self.workers.len() < MAX_WORKERS => {
                let worker = Worker::start(self.nats.url(), self.ledger.clone());
                let worker = worker.await;
                self.workers.push(worker);
            }
            Step::Start => {}
            Step::Stop => {
                if let Some(worker) = self.workers.pop() {
                    worker.stop().await;
                }
            }
            Step::Crash => {
                if let Some(worker) = self.workers.pop() {
                    worker.crash();
                }
            }
            Step::Handle(more) => self.handle(more).await,
            Step::EditConsumer(number) => self.edit_consumer(number).await,
            Step::DeleteConsumer => {
                let stream = self.jetstream().get_stream("MARKET").await;
                if let Ok(stream) = stream {
                    let _ = stream.delete_consumer("recorder").await;
                }
            }
            Step::EditStream(number) => self.edit_stream(number).await,
            Step::Purge => {
                self.all_published().await;
                self.ledger.excuse_all();
                let stream = self.jetstream().get_stream("MARKET").await;
                if let Ok(stream) = stream {
                    stream.purge().await.unwrap();
                }
            }
            Step::DeleteStream => {
                self.all_published().await;
                self.ledger.excuse_all();
                let _ = self.jetstream().delete_stream("MARKET").await;
                self.bus.declare(&stream()).await.unwrap();
            }
            Step::Restart { is_kill } => {
                match is_kill {
                    true => self.nats.kill().unwrap(),
                    false => self.nats.stop().unwrap(),
                }
                self.nats.restart().await.unwrap();
                while self.jetstream().query_account().await.is_err() {
                    // sleep: interval between two attempts.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.operator.clone())
    }

    fn publish(&mut self, count: u64, seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for number in self.next_number..self.next_number + count {
            let plan = Plan::random(&mut random);
            self.ledger.entries().plans.insert(number, plan);
            let (bus, ledger) = (self.bus.clone(), self.ledger.clone());
            let jetstream = self.jetstream();
            self.publishing.spawn(async move {
                let stored = match plan {
                    Plan::Undecodable => publish_undecodable(&jetstream, number).await,
                    _ => {
                        let event = trade(number);
                        let publish = bus.publish_durable(&event).id(trade_id(number));
                        publish.wait_for_ready().await.is_ok()
                    }
                };
                if stored {
                    ledger.entries().acknowledged.insert(number);
                }
            });
        }
        self.next_number += count;
    }

    async fn all_published(&mut self) {
        while let Some(published) = self.publishing.join_next().await {
            published.unwrap();
        }
    }

    async fn handle(&self, more: u32) {
        let target = self.ledger.begun() + more;
        let waiting = async {
            while self.ledger.begun() < target {
                // sleep: polling interval.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Fewer may be left.
        let _ = timeout(Duration::from_secs(1), waiting).await;
    }

    async fn edit_consumer(&self, number: u64) {
        let Ok(stream) = self.jetstream().get_stream("MARKET").await else {
            return;
        };
        let Ok(info) = stream.consumer_info("recorder").await else {
            return;
        };
        let mut config = pull::Config::try_from_consumer_config(info.config).unwrap();
        config.ack_wait = Duration::from_secs(number);
        config.max_ack_pending = 100 * i64::try_from(number).unwrap();
        config.description = Some(format!("edit {number}"));
        stream.update_consumer(config).await.unwrap();
    }

    async fn edit_stream(&self, number: u64) {
        let jetstream = self.jetstream();
        let Ok(stream) = jetstream.get_stream("MARKET").await else {
            return;
        };
        let mut config = stream.cached_info().config.clone();
        config.description = Some(format!("edit {number}"));
        config.max_age = Duration::from_secs(3600 * number);
        jetstream.update_stream(config).await.unwrap();
    }

    /// Lets workers handle what is left, and checks the ledger.
    pub(super) async fn finish(mut self) {
        self.all_published().await;
        if self.workers.is_empty() {
            self.take(Step::Start).await;
        }
        let settled = timeout(SETTLE_TIMEOUT, async {
            loop {
                let letters = self.letters().await;
                let missing = self.missing(&letters);
                if missing.is_empty() {
                    return;
                }
                // sleep: polling interval.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if settled.await.is_err() {
            let missing = self.missing(&self.letters().await);
            panic!(
                "case {}: neither handled nor dead-lettered: {missing:?}",
                self.seed
            );
        }
        self.check(&self.letters().await);
        for worker in self.workers {
            worker.stop().await;
        }
    }

    /// Returns the numbers of the events that are acknowledged and neither handled nor dead-lettered, with their plans.
    fn missing(&self, letters: &BTreeMap<u64, usize>) -> Vec<(u64, Plan)> {
        let entries = self.ledger.entries();
        let numbers = entries.acknowledged.iter();
        numbers
            .filter(|number| !entries.excused.contains(number))
            .filter(|number| !entries.succeeded.contains(number) && !letters.contains_key(number))
            .map(|number| (*number, entries.plans[number]))
            .collect()
    }

    fn check(&self, letters: &BTreeMap<u64, usize>) {
        let entries = self.ledger.entries();
        for (number, count) in letters {
            let seed = self.seed;
            assert_eq!(*count, 1, "case {seed}: event {number} has {count} letters");
            let (plan, begun) = (entries.plans[number], entries.begun.get(number));
            let begun = u64::from(begun.copied().unwrap_or_default());
            let is_final = matches!(plan, Plan::FailFinally | Plan::Undecodable);
            assert!(
                is_final || begun >= ATTEMPTS,
                "case {seed}: event {number}, {plan:?}, is a letter after {begun} attempts"
            );
        }
    }

    /// Returns how many letters each event has, by its number.
    async fn letters(&self) -> BTreeMap<u64, usize> {
        let mut letters = BTreeMap::new();
        let Ok(stream) = self.jetstream().get_stream("MARKET-DLQ").await else {
            return letters;
        };
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let letter = stream.get_raw_message(sequence).await.unwrap();
            let number = number_of(&letter.payload);
            *letters.entry(number).or_default() += 1;
        }
        letters
    }
}

/// Publishes bytes that are no trade, but state its number.
async fn publish_undecodable(jetstream: &jetstream::Context, number: u64) -> bool {
    let subject = trade(number).subject().unwrap();
    let payload = format!("\u{7f}{number}");
    let published = jetstream.publish(subject, payload.into()).await;
    match published {
        Ok(acknowledged) => acknowledged.await.is_ok(),
        Err(_) => false,
    }
}

/// Returns the number of the event of a letter.
fn number_of(payload: &[u8]) -> u64 {
    match payload.strip_prefix(b"\x7f") {
        Some(number) => std::str::from_utf8(number).unwrap().parse().unwrap(),
        None => Trade::decode(payload).unwrap().number,
    }
}
