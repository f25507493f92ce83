//! `RefusalMemory`: the subjects that NATS has refused to a connection a moment ago, so that nothing more is sent to
//! them for that moment. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Maximum number of subjects that are remembered; further ones are refused by NATS each time.
const MAX_REMEMBERED: usize = 4096;

/// Subjects that were refused within the last `time`, each with a value.
pub(super) struct RefusalMemory<T> {
    time: Duration,
    /// With the moment at which each is forgotten.
    subjects: HashMap<String, (Instant, T)>,
    /// When those that are over were last removed.
    pruned: Option<Instant>,
}

impl<T> RefusalMemory<T> {
    /// Returns an empty memory that forgets each subject after `time`.
    pub(super) fn new(time: Duration) -> Self {
        Self {
            time,
            subjects: HashMap::new(),
            pruned: None,
        }
    }

    /// Sets the time after which each subject is forgotten that is refused from now on.
    pub(super) fn set_time(&mut self, time: Duration) {
        self.time = time;
    }

    /// Returns whether there is nothing to look for.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Returns the value of a subject that was refused within the time.
    pub(super) fn find(&mut self, subject: &str) -> Option<&mut T> {
        let now = Instant::now();
        self.prune(now);
        let (until, value) = self.subjects.get_mut(subject)?;
        (*until > now).then_some(value)
    }

    /// Returns whether the subject was refused within the time.
    pub(super) fn contains(&self, subject: &str) -> bool {
        let found = self.subjects.get(subject);
        found.is_some_and(|(until, _)| *until > Instant::now())
    }

    /// Remembers that NATS has refused the subject now.
    pub(super) fn remember(&mut self, subject: &str, value: T) {
        let now = Instant::now();
        self.prune(now);
        let entry = (now + self.time, value);
        if let Some(known) = self.subjects.get_mut(subject) {
            *known = entry;
        } else if self.subjects.len() < MAX_REMEMBERED {
            self.subjects.insert(subject.to_owned(), entry);
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.subjects.clear();
    }

    /// Removes what is over, now and then: many messages may come while a subject is remembered.
    fn prune(&mut self, now: Instant) {
        let is_due = |last| now - last >= self.time / 4;
        if self.pruned.is_none_or(is_due) {
            self.pruned = Some(now);
            self.subjects.retain(|_, (until, _)| *until > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn a_subject_is_forgotten_after_the_time_since_its_last_refusal() {
        let mut memory = RefusalMemory::new(TIME);
        memory.remember("a.B.One", 1);
        tokio::time::advance(TIME / 2).await;
        memory.remember("a.B.One", 2);
        tokio::time::advance(TIME / 2).await;
        assert_eq!(memory.find("a.B.One"), Some(&mut 2));
        assert!(memory.contains("a.B.One") && !memory.contains("a.B.Other"));
        assert_eq!(memory.find("a.B.Other"), None);
        tokio::time::advance(TIME / 2).await;
        assert!(!memory.contains("a.B.One"));
        assert_eq!(memory.find("a.B.One"), None);
        assert!(memory.is_empty(), "nothing is looked for again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_subjects_is_bounded() {
        let mut memory = RefusalMemory::new(TIME);
        for number in 0..2 * MAX_REMEMBERED {
            memory.remember(&format!("a.{number}"), ());
        }
        assert_eq!(memory.subjects.len(), MAX_REMEMBERED);
    }
}
