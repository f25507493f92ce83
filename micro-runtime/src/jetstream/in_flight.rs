//! `InFlight`: the deliveries that this process has and has not answered yet. Pure.

use std::sync::{Arc, Mutex};

use async_nats::Subject;
use tokio::sync::Notify;

use crate::sync::lock;

/// The deliveries in hand.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    table: Mutex<State>,
    /// Told whenever one leaves.
    pub(super) freed: Notify,
}

/// One delivery in hand; leaves when dropped.
#[derive(Debug)]
pub(super) struct InFlightGuard {
    held: Arc<InFlight>,
    slot: usize,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Option<InFlightEntry>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct InFlightEntry {
    reply: Subject,
    /// Whether a tick has seen it: the next one reports progress.
    is_seen: bool,
}

impl InFlight {
    pub(super) fn take(self: &Arc<Self>, reply: Subject) -> InFlightGuard {
        let mut table = lock(&self.table);
        let slot = table.free.pop().unwrap_or_else(|| {
            table.slots.push(None);
            table.slots.len() - 1
        });
        table.slots[slot] = Some(InFlightEntry {
            reply,
            is_seen: false,
        });
        InFlightGuard {
            held: Arc::clone(self),
            slot,
        }
    }

    pub(super) fn count(&self) -> usize {
        let table = lock(&self.table);
        table.slots.len() - table.free.len()
    }

    /// Those that a tick has seen before: with three ticks in the time that JetStream waits, each
    /// delivery is reported before two thirds of it are over.
    pub(super) fn tick(&self) -> Vec<Subject> {
        let mut table = lock(&self.table);
        let slots = table.slots.iter_mut().flatten();
        slots
            .filter_map(|slot| {
                std::mem::replace(&mut slot.is_seen, true).then(|| slot.reply.clone())
            })
            .collect()
    }
}

impl InFlight {
    /// All of them.
    pub(super) fn all(&self) -> Vec<Subject> {
        let table = lock(&self.table);
        table
            .slots
            .iter()
            .flatten()
            .map(|slot| slot.reply.clone())
            .collect()
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut table = lock(&self.held.table);
        table.slots[self.slot] = None;
        table.free.push(self.slot);
        drop(table);
        self.held.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_reported_for_what_two_ticks_have_seen() {
        let held = Arc::new(InFlight::default());
        let first = held.take("a".into());
        assert_eq!(held.tick(), []);
        let second = held.take("b".into());
        assert_eq!(held.tick(), [Subject::from("a")]);
        drop(first);
        assert_eq!(held.tick(), [Subject::from("b")]);
        assert_eq!(held.count(), 1);
        drop(second);
        assert_eq!((held.count(), held.tick().len()), (0, 0));
    }
}
