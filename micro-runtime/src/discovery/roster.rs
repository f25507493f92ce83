//! The instances that a watch knows, and what an observation changes. Pure: no clock, no bus.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::discovery::records::Instance;

/// What a watch has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An instance has started, or was there already.
    Joined(Instance),
    /// An instance is gone.
    Left(Instance, Departure),
    /// An instance does not answer, though NATS still knows it: it hangs, or its connection does.
    Silent(Instance),
    /// A silent instance answers again.
    Back(Instance),
}

/// How an instance went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Departure {
    /// It said that it stops.
    Stopped,
    /// NATS no longer knows it: its process or its connection has ended.
    Died,
    /// It was silent for too long.
    Lost,
}

/// Service and instance.
type Key = (String, String);

#[derive(Debug)]
pub(crate) struct Roster {
    known: BTreeMap<Key, RosterEntry>,
    /// Who said that it stops, and until when a late answer of it does not count.
    stopped: HashMap<Key, Instant>,
    forget_after: Duration,
    late_for: Duration,
}

#[derive(Debug)]
struct RosterEntry {
    instance: Instance,
    seen: Instant,
    is_silent: bool,
}

impl Change {
    /// The instance that it is about.
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
    /// Forgets who was silent for `forget_after`; ignores for `late_for` what an instance answered
    /// before it stopped.
    pub(crate) fn new(forget_after: Duration, late_for: Duration) -> Self {
        Self {
            known: BTreeMap::new(),
            stopped: HashMap::new(),
            forget_after,
            late_for,
        }
    }

    /// It answered.
    pub(crate) fn seen(&mut self, instance: Instance, now: Instant) -> Option<Change> {
        let key = key(&instance);
        self.stopped.retain(|_, until| *until > now);
        if self.stopped.contains_key(&key) {
            return None;
        }
        if let Some(entry) = self.known.get_mut(&key) {
            entry.seen = now;
            let was_silent = std::mem::take(&mut entry.is_silent);
            return was_silent.then_some(Change::Back(instance));
        }
        let entry = RosterEntry {
            instance: instance.clone(),
            seen: now,
            is_silent: false,
        };
        self.known.insert(key, entry);
        Some(Change::Joined(instance))
    }

    /// It says that it has started.
    pub(crate) fn started(&mut self, instance: Instance, now: Instant) -> Option<Change> {
        self.stopped.remove(&key(&instance));
        self.seen(instance, now)
    }

    /// It says that it stops.
    pub(crate) fn stopping(&mut self, instance: &Instance, now: Instant) -> Option<Change> {
        let key = key(instance);
        let entry = self.known.remove(&key);
        self.stopped.insert(key, now + self.late_for);
        Some(Change::Left(entry?.instance, Departure::Stopped))
    }

    /// NATS says that nobody answers for it.
    pub(crate) fn died(&mut self, instance: &Instance, asked: Instant) -> Option<Change> {
        self.unseen(instance, asked)?;
        let entry = self.known.remove(&key(instance))?;
        Some(Change::Left(entry.instance, Departure::Died))
    }

    /// It was asked, and did not answer.
    pub(crate) fn unanswered(
        &mut self,
        instance: &Instance,
        asked: Instant,
        now: Instant,
    ) -> Option<Change> {
        let forget_after = self.forget_after;
        let entry = self.unseen(instance, asked)?;
        if now.duration_since(entry.seen) >= forget_after {
            let entry = self.known.remove(&key(instance))?;
            return Some(Change::Left(entry.instance, Departure::Lost));
        }
        let was_silent = std::mem::replace(&mut entry.is_silent, true);
        (!was_silent).then(|| Change::Silent(entry.instance.clone()))
    }

    pub(crate) fn instances(&self) -> Vec<Instance> {
        let entries = self.known.values();
        entries.map(|entry| entry.instance.clone()).collect()
    }

    /// Its entry, unless it was seen after it was asked.
    fn unseen(&mut self, instance: &Instance, asked: Instant) -> Option<&mut RosterEntry> {
        let entry = self.known.get_mut(&key(instance));
        entry.filter(|entry| entry.seen < asked)
    }
}

fn key(instance: &Instance) -> Key {
    (instance.name.clone(), instance.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_instance_comes_once_and_goes_once() {
        let (mut roster, now) = roster();
        assert_eq!(roster.started(one(), now), Some(Change::Joined(one())));
        assert_eq!(roster.seen(one(), now), None);
        let left = Change::Left(one(), Departure::Stopped);
        assert_eq!(roster.stopping(&one(), now), Some(left));
        assert_eq!(roster.stopping(&one(), now), None);
        // An answer that was under way while it stopped.
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
    fn who_does_not_answer_is_silent_then_back_or_lost() {
        let (mut roster, now) = roster();
        roster.seen(one(), now);
        let later = now + SECOND;
        let silent = roster.unanswered(&one(), later, later);
        assert_eq!(silent, Some(Change::Silent(one())));
        assert_eq!(roster.unanswered(&one(), later, later), None);
        assert_eq!(roster.seen(one(), later), Some(Change::Back(one())));
        let much_later = later + 10 * SECOND;
        let lost = roster.unanswered(&one(), much_later, much_later);
        assert_eq!(lost, Some(Change::Left(one(), Departure::Lost)));
        assert_eq!(roster.unanswered(&one(), much_later, much_later), None);
    }

    #[test]
    fn who_was_seen_after_he_was_asked_is_there() {
        let (mut roster, now) = roster();
        roster.seen(one(), now + SECOND);
        assert_eq!(roster.died(&one(), now), None);
        assert_eq!(roster.unanswered(&one(), now, now + SECOND), None);
        let died = roster.died(&one(), now + 2 * SECOND);
        assert_eq!(died, Some(Change::Left(one(), Departure::Died)));
    }
}
