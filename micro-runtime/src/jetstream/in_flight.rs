//! `InFlight`: the deliveries that this process has received and not acknowledged yet. Does no I/O.

use std::sync::{Arc, Mutex};

use async_nats::Subject;
use tokio::sync::Notify;

use crate::sync::lock;

/// Reply subjects of the deliveries of one consumer that are queued or at work in this process.
///
/// It serves three purposes: the consumer loop requests no more deliveries than it has room for
/// ([`count`](Self::count)); it reports progress for those that take long ([`tick`](Self::tick)); and at the
/// end of the grace period it gives back those that are left ([`reply_subjects`](Self::reply_subjects)).
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

#[derive(Debug, Default)]
struct State {
    slots: Vec<Option<InFlightEntry>>,
    /// Indices of the slots that hold `None`.
    free: Vec<usize>,
}

#[derive(Debug)]
struct InFlightEntry {
    reply: Subject,
    /// Whether an earlier tick found this delivery.
    is_seen: bool,
}

impl InFlight {
    /// Adds a delivery until the returned guard is dropped.
    pub(super) fn insert(self: &Arc<Self>, reply: Subject) -> InFlightGuard {
        let mut state = lock(&self.state);
        let slot = state.free.pop().unwrap_or_else(|| {
            state.slots.push(None);
            state.slots.len() - 1
        });
        state.slots[slot] = Some(InFlightEntry {
            reply,
            is_seen: false,
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
    pub(super) fn tick(&self) -> Vec<Subject> {
        let mut state = lock(&self.state);
        let entries = state.slots.iter_mut().flatten();
        entries
            .filter_map(|entry| {
                std::mem::replace(&mut entry.is_seen, true).then(|| entry.reply.clone())
            })
            .collect()
    }

    /// Returns the reply subjects of all deliveries.
    pub(super) fn reply_subjects(&self) -> Vec<Subject> {
        let state = lock(&self.state);
        let entries = state.slots.iter().flatten();
        entries.map(|entry| entry.reply.clone()).collect()
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.in_flight.state);
        state.slots[self.slot] = None;
        state.free.push(self.slot);
        drop(state);
        self.in_flight.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_due_for_deliveries_that_an_earlier_tick_has_seen() {
        let in_flight = Arc::new(InFlight::default());
        let first = in_flight.insert("a".into());
        assert_eq!(in_flight.tick(), []);
        let second = in_flight.insert("b".into());
        assert_eq!(in_flight.tick(), [Subject::from("a")]);
        drop(first);
        assert_eq!(in_flight.tick(), [Subject::from("b")]);
        assert_eq!(in_flight.count(), 1);
        drop(second);
        assert_eq!((in_flight.count(), in_flight.tick().len()), (0, 0));
    }
}
