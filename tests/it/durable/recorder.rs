//! A subscriber that records each delivery, with an outcome chosen by the test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use micro_runtime::jetstream::{BatchSubscriber, Delivery, DurableEvent};
use micro_runtime::{Context, Status, Subscriber};
use micro_tests::market::Trade;
use tokio::sync::Notify;

/// One delivery of one event to the handler.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u64,
    pub(super) delivery: Delivery,
    pub(crate) at: Instant,
    /// Number of events in the same batch; 1 without batches.
    pub(super) batch_len: usize,
}

type ChooseOutcome = dyn Fn(&Trade, &Delivery) -> Outcome + Send + Sync;

/// Outcome of handling one event.
pub(crate) enum Outcome {
    Succeed,
    Fail,
    FailWith(Status),
    Panic,
    SucceedAfter(Duration),
}

/// Subscriber for trades; clones share the recorded attempts.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Inner>);

struct Inner {
    choose_outcome: Box<ChooseOutcome>,
    attempts: Mutex<Vec<Attempt>>,
    /// Number of each trade that was handled without an error, by its sequence in the stream.
    succeeded: Mutex<BTreeMap<u64, u64>>,
    changed: Notify,
}

impl Recorder {
    pub(crate) fn new(
        choose_outcome: impl Fn(&Trade, &Delivery) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            choose_outcome: Box::new(choose_outcome),
            attempts: Mutex::default(),
            succeeded: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Makes a recorder whose every outcome is a success.
    pub(crate) fn succeeding() -> Self {
        Self::new(|_, _| Outcome::Succeed)
    }

    /// All attempts, in the order in which the handler started them.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.0.attempts.lock().unwrap().clone()
    }

    /// Attempts at one event.
    pub(super) fn attempts_of(&self, number: u64) -> Vec<Attempt> {
        let mut attempts = self.attempts();
        attempts.retain(|attempt| attempt.number == number);
        attempts
    }

    /// Numbers of the trades that succeeded, in the order of the stream and without duplicates.
    pub(crate) fn succeeded(&self) -> Vec<u64> {
        self.0.succeeded.lock().unwrap().values().copied().collect()
    }

    /// Waits until the condition holds; it is checked after each attempt.
    pub(crate) async fn wait_for(&self, is_reached: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            if is_reached(self) {
                return;
            }
            changed.await;
        }
    }

    async fn handle(
        &self,
        trade: &Trade,
        delivery: &Delivery,
        batch_len: usize,
    ) -> Result<(), Status> {
        self.0.attempts.lock().unwrap().push(Attempt {
            number: trade.number,
            delivery: delivery.clone(),
            at: Instant::now(),
            batch_len,
        });
        self.0.changed.notify_waiters();
        let result = match (self.0.choose_outcome)(trade, delivery) {
            Outcome::Succeed => Ok(()),
            Outcome::Fail => Err(Status::unavailable(format!("no room for {}", trade.number))),
            Outcome::FailWith(status) => Err(status),
            Outcome::Panic => panic!("asked to panic"),
            Outcome::SucceedAfter(time) => {
                // sleep: the handler is slow.
                tokio::time::sleep(time).await;
                Ok(())
            }
        };
        if result.is_ok() {
            let mut succeeded = self.0.succeeded.lock().unwrap();
            succeeded.insert(delivery.sequence(), trade.number);
        }
        self.0.changed.notify_waiters();
        result
    }
}

impl Subscriber<Trade> for Recorder {
    async fn on_event(&self, ctx: Context, trade: Trade) -> Result<(), Status> {
        let delivery = ctx.delivery().unwrap();
        assert_eq!(delivery.stream(), "MARKET");
        self.handle(&trade, delivery, 1).await
    }
}

impl BatchSubscriber<Trade> for Recorder {
    async fn on_batch(
        &self,
        _ctx: Context,
        trades: Vec<DurableEvent<Trade>>,
    ) -> Result<(), Status> {
        let mut result = Ok(());
        for trade in &trades {
            let handled = self
                .handle(&trade.event, &trade.delivery, trades.len())
                .await;
            result = result.and(handled);
        }
        result
    }
}
