//! The ledger of a case: what was acknowledged, begun, handled and excused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use micro_runtime::{Context, Status, Subscriber};
use micro_tests::market::Trade;

use super::step::Plan;

/// Clones share the entries.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
pub(super) struct Entries {
    pub(super) plans: BTreeMap<u64, Plan>,
    pub(super) acknowledged: BTreeSet<u64>,
    /// Number of times that the handler has begun with an event.
    pub(super) begun: BTreeMap<u64, u32>,
    pub(super) succeeded: BTreeSet<u64>,
    /// Events that an operator has removed, handled or not.
    pub(super) excused: BTreeSet<u64>,
}

impl Ledger {
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }

    /// Number of handlers that have begun.
    pub(super) fn begun(&self) -> u32 {
        self.entries().begun.values().sum()
    }

    /// Excuses all events so far: they are removed from the stream.
    pub(super) fn excuse_all(&self) {
        let entries = &mut *self.entries();
        entries.excused.extend(entries.plans.keys());
    }

    /// Begins with an event; returns its plan and how often it has begun, this time included.
    fn begin(&self, number: u64) -> (Plan, u32) {
        let mut entries = self.entries();
        let begun = entries.begun.entry(number).or_default();
        *begun += 1;
        let begun = *begun;
        (entries.plans[&number], begun)
    }
}

impl Subscriber<Trade> for Ledger {
    async fn on_event(&self, _: Context, trade: Trade) -> Result<(), Status> {
        let number = trade.number;
        let (plan, begun) = self.begin(number);
        match plan {
            Plan::Fail(times) if begun <= times => return Err(Status::unavailable("not yet")),
            Plan::FailAlways => return Err(Status::unavailable("never")),
            Plan::FailFinally => return Err(Status::invalid_argument("no good")),
            Plan::Panic => panic!("asked to panic"),
            // sleep: the handler is slow.
            Plan::Slow(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Plan::HangOnce if begun == 1 => std::future::pending().await,
            _ => {}
        }
        self.entries().succeeded.insert(number);
        Ok(())
    }
}
