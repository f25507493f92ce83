//! `Roster`: the instances that a watch knows, and the changes that follow from an observation. Pure: no clock, no bus.
//!
//! Observations arrive out of order: a reply to a ping may be older than the announcement of a stop, and a ping without
//! a reply older than a reply to another. So each observation has the time at which it was sent_at for, and one that is
//! older than what is known changes nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::discovery::records::Instance;

/// A change among the instances.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An instance has started, or was there when the watch began.
    Joined(Instance),
    /// An instance is gone.
    Left(Instance, Departure),
    /// An instance does not reply, though NATS still knows its connection: it hangs, or its connection does.
    Silent(Instance),
    /// A silent instance replies again.
    Back(Instance),
}

/// Way in which an instance has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Departure {
    /// It announced that it stops.
    Stopped,
    /// NATS no longer has its subscriptions: its process or its connection has ended.
    Died,
    /// It was silent for too long.
    Lost,
}

/// Maximum number of instances that are known, and of those that have just stopped. A peer can make ids up: further
/// instances are not seen, and of the stopped ones the oldest is forgotten.
const MAX_INSTANCES: usize = 65_536;

/// Name of the service and id of the instance.
type Key = (String, String);

/// Instances that a watch knows.
#[derive(Debug)]
pub(crate) struct Roster {
    known: BTreeMap<Key, RosterEntry>,
    /// Instances that announced their stop.
    stopped: StoppedInstances,
    forget_after: Duration,
    late_for: Duration,
}

/// Instances that announced their stop, with the time until which a reply of theirs is ignored as one that was sent
/// before.
#[derive(Debug, Default)]
struct StoppedInstances {
    until: HashMap<Key, Instant>,
    /// The stops in order, which is that of their ends: each is removed once, whatever comes in between.
    order: VecDeque<(Instant, Key)>,
}

/// A known instance.
#[derive(Debug)]
struct RosterEntry {
    instance: Instance,
    /// Time of its last reply or announcement.
    seen: Instant,
    is_silent: bool,
}

impl Change {
    /// Returns the instance that has changed.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        match self {
            Self::Joined(instance)
            | Self::Left(instance, _)
            | Self::Silent(instance)
            | Self::Back(instance) => instance,
        }
    }
}

impl Roster {
    /// Makes an empty roster. An instance that was silent for `forget_after` is lost; replies within
    /// `late_for` after the announcement of a stop are ignored.
    pub(crate) fn new(forget_after: Duration, late_for: Duration) -> Self {
        Self {
            known: BTreeMap::new(),
            stopped: StoppedInstances::default(),
            forget_after,
            late_for,
        }
    }

    /// Records a reply of an instance.
    pub(crate) fn seen(&mut self, instance: Instance, now: Instant) -> Option<Change> {
        let key = key(&instance);
        self.stopped.forget_old(now);
        if self.stopped.until.contains_key(&key) {
            return None;
        }
        if let Some(entry) = self.known.get_mut(&key) {
            entry.seen = now;
            let was_silent = std::mem::take(&mut entry.is_silent);
            return was_silent.then_some(Change::Back(instance));
        }
        if self.known.len() >= MAX_INSTANCES {
            return None;
        }
        let entry = RosterEntry {
            instance: instance.clone(),
            seen: now,
            is_silent: false,
        };
        self.known.insert(key, entry);
        Some(Change::Joined(instance))
    }

    /// Records the announcement of a start, which may follow a stop of the same instance at once.
    pub(crate) fn started(&mut self, instance: Instance, now: Instant) -> Option<Change> {
        self.stopped.until.remove(&key(&instance));
        self.seen(instance, now)
    }

    /// Records the announcement of a stop.
    pub(crate) fn stopping(&mut self, instance: &Instance, now: Instant) -> Option<Change> {
        let key = key(instance);
        let entry = self.known.remove(&key);
        self.stopped.forget_old(now);
        self.stopped.add(key, now + self.late_for);
        Some(Change::Left(entry?.instance, Departure::Stopped))
    }

    /// Records that NATS had no responder for a ping to the instance, sent at `sent_at`.
    pub(crate) fn died(&mut self, instance: &Instance, sent_at: Instant) -> Option<Change> {
        self.unseen(instance, sent_at)?;
        let entry = self.known.remove(&key(instance))?;
        Some(Change::Left(entry.instance, Departure::Died))
    }

    /// Records that the instance did not reply to a ping, sent at `sent_at`.
    pub(crate) fn missed_ping(
        &mut self,
        instance: &Instance,
        sent_at: Instant,
        now: Instant,
    ) -> Option<Change> {
        let forget_after = self.forget_after;
        let entry = self.unseen(instance, sent_at)?;
        if now.duration_since(entry.seen) >= forget_after {
            let entry = self.known.remove(&key(instance))?;
            return Some(Change::Left(entry.instance, Departure::Lost));
        }
        let was_silent = std::mem::replace(&mut entry.is_silent, true);
        (!was_silent).then(|| Change::Silent(entry.instance.clone()))
    }

    /// Returns all known instances, silent ones included.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        let entries = self.known.values();
        entries.map(|entry| entry.instance.clone()).collect()
    }

    /// Returns the entry of an instance, unless it was seen after `sent_at`.
    fn unseen(&mut self, instance: &Instance, sent_at: Instant) -> Option<&mut RosterEntry> {
        let entry = self.known.get_mut(&key(instance));
        entry.filter(|entry| entry.seen < sent_at)
    }
}

impl StoppedInstances {
    fn add(&mut self, key: Key, until: Instant) {
        if self.order.len() >= MAX_INSTANCES {
            self.forget_oldest();
        }
        self.order.push_back((until, key.clone()));
        self.until.insert(key, until);
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((until, key)) = self.order.pop_front()
            // It may have started and stopped again since.
            && self.until.get(&key) == Some(&until)
        {
            self.until.remove(&key);
        }
    }
}

fn key(instance: &Instance) -> Key {
    (instance.name.clone(), instance.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::check_linear;

    const SECOND: Duration = Duration::from_secs(1);

    fn one() -> Instance {
        Instance {
            name: "a".into(),
            id: "1".into(),
            ..Instance::default()
        }
    }

    fn roster() -> (Roster, Instant) {
        (Roster::new(10 * SECOND, SECOND), Instant::now())
    }

    #[test]
    fn an_instance_joins_once_and_leaves_once() {
        let (mut roster, now) = roster();
        assert_eq!(roster.started(one(), now), Some(Change::Joined(one())));
        assert_eq!(roster.seen(one(), now), None);
        let left = Change::Left(one(), Departure::Stopped);
        assert_eq!(roster.stopping(&one(), now), Some(left));
        assert_eq!(roster.stopping(&one(), now), None);
        // A reply that was under way while it stopped.
        assert_eq!(roster.seen(one(), now), None);
        assert_eq!(
            roster.seen(one(), now + SECOND),
            Some(Change::Joined(one()))
        );
    }

    #[test]
    fn an_instance_of_the_same_name_may_start_at_once() {
        let (mut roster, now) = roster();
        roster.started(one(), now);
        roster.stopping(&one(), now);
        assert_eq!(roster.started(one(), now), Some(Change::Joined(one())));
    }

    #[test]
    fn an_instance_that_does_not_reply_is_silent_then_back_or_lost() {
        let (mut roster, now) = roster();
        roster.seen(one(), now);
        let later = now + SECOND;
        let silent = roster.missed_ping(&one(), later, later);
        assert_eq!(silent, Some(Change::Silent(one())));
        assert_eq!(roster.missed_ping(&one(), later, later), None);
        assert_eq!(roster.seen(one(), later), Some(Change::Back(one())));
        let much_later = later + 10 * SECOND;
        let lost = roster.missed_ping(&one(), much_later, much_later);
        assert_eq!(lost, Some(Change::Left(one(), Departure::Lost)));
        assert_eq!(roster.missed_ping(&one(), much_later, much_later), None);
    }

    #[test]
    fn an_observation_older_than_the_last_reply_changes_nothing() {
        let (mut roster, now) = roster();
        roster.seen(one(), now + SECOND);
        assert_eq!(roster.died(&one(), now), None);
        assert_eq!(roster.missed_ping(&one(), now, now + SECOND), None);
        let died = roster.died(&one(), now + 2 * SECOND);
        assert_eq!(died, Some(Change::Left(one(), Departure::Died)));
    }

    #[test]
    fn many_stops_cost_each_observation_little_and_are_bounded() {
        let instances = |size: usize| {
            let instance = |number: usize| Instance {
                name: "a".to_owned(),
                id: number.to_string(),
                ..Instance::default()
            };
            (0..2 * size).map(instance).collect::<Vec<_>>()
        };
        check_linear(1_000, instances, |instances| {
            let (mut roster, now) = roster();
            let (stopping, running) = instances.split_at(instances.len() / 2);
            for instance in stopping {
                roster.stopping(instance, now);
            }
            for instance in running {
                roster.seen(instance.clone(), now);
            }
            roster
        });
        let (mut roster, now) = roster();
        for instance in instances(MAX_INSTANCES / 2 + 100) {
            roster.stopping(&instance, now);
            roster.started(instance.clone(), now);
            roster.stopping(&instance, now);
        }
        assert!(roster.stopped.order.len() <= MAX_INSTANCES);
        assert!(roster.stopped.until.len() <= MAX_INSTANCES);
        for instance in instances(MAX_INSTANCES / 2 + 100) {
            roster.seen(instance, now + SECOND);
        }
        assert_eq!(roster.known.len(), MAX_INSTANCES);
        assert!(roster.stopped.order.is_empty() && roster.stopped.until.is_empty());
    }
}
