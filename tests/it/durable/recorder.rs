//! A subscriber that notes what it sees, and does with it what a test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use micro_runtime::{BatchSubscriber, Context, Delivered, Delivery, Status, Subscriber};
use micro_tests::market::Trade;
use tokio::sync::Notify;

/// One look at one event.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) delivery: Delivery,
    pub(crate) at: Instant,
    /// How many events came together.
    pub(crate) together: usize,
}

type Behavior = dyn Fn(&Trade, &Delivery) -> Outcome + Send + Sync;

/// What a handler does.
pub(crate) enum Outcome {
    Succeed,
    Fail,
    Panic,
    SucceedAfter(Duration),
}

/// Cheap to clone; the clones share what they saw.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Inner>);

struct Inner {
    behavior: Box<Behavior>,
    seen: Mutex<Vec<Seen>>,
    /// What succeeded: the stream's number, and the event's.
    done: Mutex<BTreeMap<u64, u64>>,
    changed: Notify,
}

impl Recorder {
    pub(crate) fn new(
        behavior: impl Fn(&Trade, &Delivery) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            behavior: Box::new(behavior),
            seen: Mutex::default(),
            done: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    pub(crate) fn willing() -> Self {
        Self::new(|_, _| Outcome::Succeed)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    /// The looks at one event.
    pub(crate) fn looks(&self, number: u64) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.number == number);
        seen
    }

    /// The numbers of the events that succeeded, each place in the stream once.
    pub(crate) fn done(&self) -> Vec<u64> {
        self.0.done.lock().unwrap().values().copied().collect()
    }

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
        together: usize,
    ) -> Result<(), Status> {
        self.0.seen.lock().unwrap().push(Seen {
            number: trade.number,
            delivery: delivery.clone(),
            at: Instant::now(),
            together,
        });
        self.0.changed.notify_waiters();
        let result = match (self.0.behavior)(trade, delivery) {
            Outcome::Succeed => Ok(()),
            Outcome::Fail => Err(Status::unavailable(format!("no room for {}", trade.number))),
            Outcome::Panic => panic!("asked to panic"),
            Outcome::SucceedAfter(time) => {
                // sleep: the handler takes its time.
                tokio::time::sleep(time).await;
                Ok(())
            }
        };
        if result.is_ok() {
            let mut done = self.0.done.lock().unwrap();
            done.insert(delivery.sequence(), trade.number);
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
    async fn on_batch(&self, _ctx: Context, trades: Vec<Delivered<Trade>>) -> Result<(), Status> {
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
