//! `InFlight`: the deliveries that this process has received and not acknowledged yet. Does no I/O.

use std::sync::{Arc, Mutex};

use async_nats::Subject;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::context::Delivery;
use crate::jetstream::delivery_state::{DeliveryState, Judgment};
use crate::sync::lock;

/// The deliveries of one consumer that are queued or at work in this process, with their states.
///
/// It serves three purposes: the consumer loop requests no more deliveries than it has room for
/// ([`count`](Self::count)); it reports progress for those that take long ([`tick`](Self::tick)); and at the
/// end of the grace period it gives back those that are left ([`left`](Self::left)).
///
/// A table with slots instead of a hash map: a slot is found without hashing, and is used again.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    state: Mutex<State>,
    /// Notified whenever a delivery leaves, and by other events that let the consumer loop start a handler.
    pub(super) freed: Notify,
}

/// Membership of one delivery in [`InFlight`], which ends when it is dropped.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    in_flight: Arc<InFlight>,
    slot: usize,
}

/// A delivery that is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftDelivery {
    /// Subject on which it is acknowledged.
    pub(super) reply: Subject,
    pub(super) info: Delivery,
    /// Number of attempts to record: those that have begun. `None` where the record that there is stays right, as that
    /// of a suspect that was not begun once more.
    pub(super) attempts: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Option<InFlightEntry>>,
    /// Indices of the slots that hold `None`.
    free: Vec<usize>,
}

#[derive(Debug)]
struct InFlightEntry {
    left: LeftDelivery,
    /// Whether an earlier tick found this delivery.
    is_seen: bool,
    state: DeliveryState,
}

impl InFlight {
    /// Adds a delivery until the returned guard is dropped.
    pub(super) fn insert(self: &Arc<Self>, reply: Subject, info: Delivery) -> InFlightGuard {
        let attempts = (!info.is_redelivered()).then_some(0);
        let mut state = lock(&self.state);
        let slot = state.free.pop().unwrap_or_else(|| {
            state.slots.push(None);
            state.slots.len() - 1
        });
        state.slots[slot] = Some(InFlightEntry {
            left: LeftDelivery {
                reply,
                info,
                attempts,
            },
            is_seen: false,
            state: DeliveryState::Waiting,
        });
        InFlightGuard {
            in_flight: Arc::clone(self),
            slot,
        }
    }

    /// Returns the number of deliveries.
    pub(super) fn count(&self) -> usize {
        let state = lock(&self.state);
        state.slots.len() - state.free.len()
    }

    /// Marks all deliveries as seen, and returns those that an earlier tick has seen: their progress is due.
    ///
    /// With three ticks per `ack_wait` a delivery is reported before two thirds of it have passed. A
    /// delivery that is acknowledged within a third of `ack_wait`, as nearly all are, costs no report.
    ///
    /// No progress of a handler that has outlived its deadline: it blocks its thread, or it would have been dropped,
    /// and another process may do better. If all handlers do, the deliveries that wait for them are left to others,
    /// too.
    pub(super) fn tick(&self, now: Instant) -> Vec<Subject> {
        let mut state = lock(&self.state);
        let entries = state.slots.iter().flatten();
        let begun = entries.filter(|entry| matches!(entry.state, DeliveryState::Begun(_)));
        let (mut any_begun, mut all_overdue) = (false, true);
        for entry in begun {
            any_begun = true;
            all_overdue &= entry.state.is_overdue(now);
        }
        let is_stuck = any_begun && all_overdue;
        let entries = state.slots.iter_mut().flatten();
        entries
            .filter_map(|entry| {
                let is_seen = std::mem::replace(&mut entry.is_seen, true);
                let comes_on = match entry.state {
                    DeliveryState::Waiting => !is_stuck,
                    DeliveryState::Begun(_) => !entry.state.is_overdue(now),
                    DeliveryState::Settling => true,
                };
                (is_seen && comes_on).then(|| entry.left.reply.clone())
            })
            .collect()
    }

    /// Returns all deliveries.
    pub(super) fn left(&self) -> Vec<LeftDelivery> {
        let state = lock(&self.state);
        let entries = state.slots.iter().flatten();
        entries.map(|entry| entry.left.clone()).collect()
    }
}

impl InFlightGuard {
    /// Returns what is needed to give the delivery back.
    pub(super) fn left(&self) -> Option<LeftDelivery> {
        let state = lock(&self.in_flight.state);
        let entry = state.slots[self.slot].as_ref();
        entry.map(|entry| entry.left.clone())
    }

    /// Notes the judgment of a redelivery that has no handler yet.
    pub(super) fn judge(&self, judgment: Judgment) {
        self.change(|entry| {
            entry.left.attempts = (!judgment.is_suspect).then_some(judgment.known);
            entry.left.info.set_attempt(judgment.attempt());
        });
    }

    /// Notes the state of the delivery.
    pub(super) fn enter(&self, state: DeliveryState) {
        self.change(|entry| {
            if matches!(state, DeliveryState::Begun(_)) {
                entry.left.attempts = Some(entry.left.info.attempt());
            }
            entry.state = state;
        });
    }

    fn change(&self, change: impl FnOnce(&mut InFlightEntry)) {
        if let Some(entry) = &mut lock(&self.in_flight.state).slots[self.slot] {
            change(entry);
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.in_flight.state);
        let entry = state.slots[self.slot].take();
        state.free.push(self.slot);
        drop(state);
        // Behind the lock: the context of a handler may be the last one, with the user's metadata.
        drop(entry);
        self.in_flight.freed.notify_one();
    }
}

#[cfg(test)]
#[path = "in_flight_tests.rs"]
mod tests;
