//! `RefusedEvents`: counts the events that NATS refuses, and keeps back further ones to the same subject for a moment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::refusal_memory::RefusalMemory;
use crate::observe;
use crate::sync::lock;

/// Minimum time for which events to a subject that NATS has refused are not sent. A publisher without permission would
/// otherwise flood NATS and its log, and cost the connection the errors that others wait for. Permissions may be
/// extended by a reload, so it is short.
const KEPT_BACK: Duration = Duration::from_millis(100);
/// Maximum of it, where refusals take long.
const MAX_KEPT_BACK: Duration = Duration::from_secs(1);
/// Number of times that a refusal may take as long as the last trial's without the events being sent meanwhile.
const LATENCY_FACTOR: u32 = 4;
/// Time after which one event is sent as a trial. Its refusal keeps back the next ones, so that a publisher that goes
/// on sends one message at a time and not a burst whenever the time is over.
const TRIAL_AFTER: Duration = Duration::from_millis(50);

/// The refused events of one connection.
pub(super) struct RefusedEvents {
    count: AtomicU64,
    state: Mutex<State>,
    /// Whether there are some: all that an event looks at.
    has_subjects: AtomicBool,
}

struct State {
    /// Subjects of the last ones, each with the moment of its trial; `None` once that was sent.
    subjects: RefusalMemory<Option<Instant>>,
    /// Subject of a trial, and when it was sent, until its refusal shows how long these take.
    trial: Option<(String, Instant)>,
}

impl RefusedEvents {
    pub(super) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            state: Mutex::new(State {
                subjects: RefusalMemory::new(KEPT_BACK),
                trial: None,
            }),
            has_subjects: AtomicBool::new(false),
        }
    }

    /// Returns the number of refused events, also of those that were not sent.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns whether some event was refused a moment ago, so that each is looked for.
    #[inline]
    pub(super) fn has_subjects(&self) -> bool {
        self.has_subjects.load(Ordering::Relaxed)
    }

    /// Counts an event that NATS has refused, and remembers its subject.
    pub(super) fn add(&self, subject: &str) {
        let mut state = lock(&self.state);
        let trial = state.trial.take_if(|(tried, _)| tried == subject);
        if let Some((_, sent)) = trial {
            let time = sent.elapsed() * LATENCY_FACTOR;
            state
                .subjects
                .set_time(time.clamp(KEPT_BACK, MAX_KEPT_BACK));
        }
        let next = Instant::now() + TRIAL_AFTER;
        state.subjects.remember(subject, Some(next));
        self.has_subjects.store(true, Ordering::Relaxed);
        drop(state);
        self.add_nameless();
    }

    /// Counts one whose own subject was not refused.
    pub(super) fn add_nameless(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        observe::event_refused_by_nats();
    }

    /// Returns whether an event must not be sent, since one to the same subject was refused just before and it is not
    /// the trial; then it is counted.
    pub(super) fn keeps_back(&self, subject: &str) -> bool {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let found = state.subjects.find(subject);
        let trial = found.map(|trial| trial.take_if(|at| *at <= now).is_some());
        if trial == Some(true) {
            let is_unknown = |(_, sent): &(String, Instant)| now - *sent > MAX_KEPT_BACK;
            if state.trial.as_ref().is_none_or(is_unknown) {
                state.trial = Some((subject.to_owned(), now));
            }
        }
        let is_refused = trial == Some(false);
        if state.subjects.is_empty() {
            self.has_subjects.store(false, Ordering::Relaxed);
        }
        drop(state);
        if is_refused {
            self.add_nameless();
        }
        is_refused
    }

    /// Forgets the subjects: a new connection may have other permissions.
    pub(super) fn forget(&self) {
        let mut state = lock(&self.state);
        state.subjects.forget();
        state.trial = None;
        self.has_subjects.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_event_is_sent_as_a_trial_whose_refusal_keeps_back_the_next_ones() {
        let refused = RefusedEvents::new();
        refused.add("evt.a");
        for _ in 0..3 {
            tokio::time::advance(TRIAL_AFTER).await;
            assert!(!refused.keeps_back("evt.a"), "the trial");
            assert!(refused.keeps_back("evt.a"));
            refused.add("evt.a");
            assert!(refused.keeps_back("evt.a"));
        }
        tokio::time::advance(TRIAL_AFTER).await;
        assert!(!refused.keeps_back("evt.a"), "the trial");
        tokio::time::advance(KEPT_BACK - TRIAL_AFTER).await;
        assert!(!refused.keeps_back("evt.a"), "it was not refused");
        assert!(!refused.has_subjects());
    }

    #[tokio::test(start_paused = true)]
    async fn events_to_a_refused_subject_are_counted_and_kept_back_for_100_ms() {
        let refused = RefusedEvents::new();
        assert!(!refused.has_subjects());
        refused.add("evt.a");
        refused.add_nameless();
        for _ in 0..3 {
            assert!(refused.has_subjects() && refused.keeps_back("evt.a"));
        }
        assert!(!refused.keeps_back("evt.b"));
        assert_eq!(refused.count(), 5);
        tokio::time::advance(KEPT_BACK).await;
        assert!(refused.has_subjects() && !refused.keeps_back("evt.a"));
        assert!(!refused.has_subjects(), "nothing is looked for again");
        assert_eq!(refused.count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_kept_back_for_longer_where_refusals_take_long() {
        let refused = RefusedEvents::new();
        refused.add("evt.a");
        for (latency, kept_back) in [(5, 100), (60, 240), (500, 1000), (20, 100)] {
            tokio::time::advance(TRIAL_AFTER).await;
            assert!(!refused.keeps_back("evt.a"), "the trial");
            tokio::time::advance(Duration::from_millis(latency)).await;
            refused.add("evt.a");
            let kept_back = Duration::from_millis(kept_back);
            tokio::time::advance(TRIAL_AFTER).await;
            assert!(!refused.keeps_back("evt.a"), "the trial");
            tokio::time::advance(kept_back - TRIAL_AFTER - Duration::from_millis(1)).await;
            assert!(refused.keeps_back("evt.a"));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!refused.keeps_back("evt.a"), "{latency} ms");
            // The trial was not refused.
            lock(&refused.state).trial = None;
            refused.add("evt.a");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_keeps_nothing_back() {
        let refused = RefusedEvents::new();
        refused.add("evt.a");
        refused.forget();
        assert!(!refused.has_subjects() && !refused.keeps_back("evt.a"));
        assert_eq!(refused.count(), 1);
    }
}
