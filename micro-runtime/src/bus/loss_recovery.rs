//! `LossRecovery`: the tasks that ask NATS again where some of its errors may have been lost.
//!
//! async-nats keeps 128 events at most for its callback and drops further ones. A call whose refusal was dropped would
//! wait for its deadline, and a server whose subscription a reload revoked would run on without a request. So after a
//! burst of events NATS is asked about everything on the connection that depends on an error ([`Prober`]):
//!
//! - calls and openings that were sent since it was last asked, at most every [`MIN_CALLS_INTERVAL`], and after a while
//!   that doubles as long as NATS refuses none: a slow subscription alone makes bursts, too;
//! - streams and subscriptions, after a while that doubles as long as bursts go on and nothing new is found: each probe
//!   costs NATS work, and one of a publish a line in its log.
//!
//! The proof of a start asks about its own subscriptions at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::bus::permission::Permission;
use crate::bus::probe::{ProbeReplies, Prober};
use crate::error::{Error, ErrorKind};
use crate::wire::subject::reply_pattern;

/// Minimum time from the probes of calls to the next ones.
const MIN_CALLS_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum time that it grows to while NATS refuses none.
const MAX_CALLS_INTERVAL: Duration = Duration::from_secs(4);
/// Minimum time from the probes of streams and subscriptions to the next ones.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time that it grows to in a flood that does not end.
const MAX_INTERVAL: Duration = Duration::from_secs(30);

/// The running tasks, which end when this is dropped.
pub(super) struct LossRecovery {
    requests: mpsc::UnboundedSender<RecoveryRequest>,
    tasks: [AbortHandle; 2],
}

/// Subscriptions to ask about at once, for one that waits for the end.
struct RecoveryRequest {
    subscriptions: Vec<Permission>,
    asked: oneshot::Sender<Result<(), Error>>,
}

/// Times at which NATS is asked about one kind of permissions. Pure.
struct ProbeSchedule {
    min: Duration,
    max: Duration,
    interval: Duration,
    /// When NATS may be asked again.
    next: Instant,
    /// Whether errors may have been lost since it was last asked.
    is_due: bool,
    /// Permissions that it refused when it was last asked.
    refused: HashSet<Permission>,
}

impl LossRecovery {
    pub(super) fn spawn(prober: Prober) -> Self {
        let (requests, received) = mpsc::unbounded_channel();
        let prober = Arc::new(prober);
        let recovering = tokio::spawn(recover(Arc::clone(&prober)));
        let serving = tokio::spawn(serve(prober, received));
        Self {
            requests,
            tasks: [recovering.abort_handle(), serving.abort_handle()],
        }
    }

    /// Asks NATS about these subscriptions, and returns once its errors have been passed on. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] or [`ErrorKind::Timeout`] if NATS could not be asked, or its errors were lost again.
    pub(super) async fn ask_again(&self, subscriptions: Vec<Permission>) -> Result<(), Error> {
        let (asked, outcome) = oneshot::channel();
        let request = RecoveryRequest {
            subscriptions,
            asked,
        };
        if self.requests.send(request).is_err() {
            return Err(ended());
        }
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for LossRecovery {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Asks NATS after each burst of events, as the schedules allow.
async fn recover(prober: Arc<Prober>) {
    let mut losses = prober.refusals().suspected_losses();
    let mut calls = ProbeSchedule::new(MIN_CALLS_INTERVAL, MAX_CALLS_INTERVAL);
    let mut others = ProbeSchedule::new(MIN_INTERVAL, MAX_INTERVAL);
    // Place of the last request that NATS was asked about.
    let mut last = 0;
    loop {
        let next = [calls.due(), others.due()].into_iter().flatten().min();
        tokio::select! {
            changed = losses.changed() => match changed {
                Ok(()) => {
                    calls.suspect(Instant::now());
                    others.suspect(Instant::now());
                }
                Err(_) => return,
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        if calls.begin(Instant::now()) {
            let (destinations, sent) = prober.mux().destinations_since(last);
            let replies = prober.ask(publishes(destinations).collect()).await;
            if replies.as_ref().is_ok_and(|replies| !replies.is_incomplete) {
                last = sent;
            }
            // Each refused subject is a reason to ask soon: further calls to it are sent when it is forgotten.
            calls.forget_refused();
            calls.end(Instant::now(), replies);
        }
        if others.begin(Instant::now()) {
            let replies = prober.ask(streams_and_subscriptions(&prober)).await;
            others.end(Instant::now(), replies);
        }
    }
}

/// Asks what is requested, for all requests that wait together.
async fn serve(prober: Arc<Prober>, mut requests: mpsc::UnboundedReceiver<RecoveryRequest>) {
    while let Some(first) = requests.recv().await {
        let mut waiting = vec![first];
        while let Ok(next) = requests.try_recv() {
            waiting.push(next);
        }
        // A start that was given up has no subscription any more.
        waiting.retain(|request| !request.asked.is_closed());
        let subscriptions = waiting.iter().flat_map(|request| &request.subscriptions);
        let subscriptions = subscriptions.cloned().collect::<HashSet<_>>();
        let asked = prober.ask(subscriptions).await;
        let asked = asked.and_then(ProbeReplies::complete);
        for request in waiting {
            let outcome = match &asked {
                Ok(()) => Ok(()),
                Err(error) => Err(Error::new(error.kind(), error.to_string())),
            };
            let _ = request.asked.send(outcome);
        }
    }
}

/// Returns everything that depends on an error of NATS, but for requests that wait.
fn streams_and_subscriptions(prober: &Prober) -> HashSet<Permission> {
    let refusals = prober.refusals();
    let mut permissions = refusals.subscriptions().permissions();
    let inbox = reply_pattern(prober.mux().inbox());
    permissions.insert(Permission::subscribe(&inbox, None));
    permissions.extend(publishes(prober.mux().stream_destinations()));
    #[cfg(feature = "jetstream")]
    permissions.extend(publishes(refusals.publish_uses().all()));
    permissions
}

fn publishes(subjects: Vec<Subject>) -> impl Iterator<Item = Permission> {
    let subjects = subjects.into_iter();
    subjects.map(|subject| Permission::Publish(subject.to_string()))
}

fn ended() -> Error {
    Error::new(ErrorKind::Connect, "the connection to NATS is closed")
}

impl ProbeSchedule {
    fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            interval: min,
            next: Instant::now(),
            is_due: false,
            refused: HashSet::new(),
        }
    }

    /// Notes that errors may have been lost: NATS is asked at once where it was not for some time.
    fn suspect(&mut self, now: Instant) {
        if !self.is_due && now >= self.next {
            self.interval = self.min;
        }
        self.is_due = true;
    }

    /// Returns when NATS is asked next; `None` if there is no reason to.
    fn due(&self) -> Option<Instant> {
        self.is_due.then_some(self.next)
    }

    /// Returns whether NATS is asked now. Errors that are lost from here on are another reason.
    fn begin(&mut self, now: Instant) -> bool {
        let is_now = self.is_due && now >= self.next;
        self.is_due &= !is_now;
        is_now
    }

    /// Takes whatever NATS refuses next for new.
    fn forget_refused(&mut self) {
        self.refused.clear();
    }

    /// Notes the replies, which set the time of the next probes.
    fn end(&mut self, now: Instant, replies: Result<ProbeReplies, Error>) {
        let mut has_new = false;
        match replies {
            Ok(replies) => {
                self.is_due |= replies.is_incomplete;
                has_new = !replies.refused.is_subset(&self.refused);
                self.refused = replies.refused;
            }
            Err(error) => {
                tracing::debug!(%error, "NATS could not be asked what it refuses");
                self.is_due = true;
            }
        }
        if has_new {
            self.interval = self.min;
        }
        self.next = now + self.interval;
        self.interval = (self.interval * 2).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(refused: &[&str], is_incomplete: bool) -> Result<ProbeReplies, Error> {
        let refused = refused.iter().map(|&subject| subject.to_owned());
        Ok(ProbeReplies {
            refused: refused.map(Permission::Publish).collect(),
            is_incomplete,
        })
    }

    /// Asks in a flood that goes on, and returns the seconds until it asks again.
    fn ask(schedule: &mut ProbeSchedule, replies: Result<ProbeReplies, Error>) -> u64 {
        let now = schedule.next;
        schedule.suspect(now - Duration::from_millis(1));
        assert!(!schedule.begin(now - Duration::from_millis(1)));
        assert!(schedule.begin(now) && !schedule.begin(now));
        schedule.end(now, replies);
        (schedule.next - now).as_secs()
    }

    #[tokio::test]
    async fn probes_become_rare_in_a_flood_in_which_nothing_new_is_found() {
        let mut schedule = ProbeSchedule::new(MIN_INTERVAL, MAX_INTERVAL);
        let mut asked = |refused: &[&str]| ask(&mut schedule, replies(refused, false));
        assert_eq!([(); 7].map(|()| asked(&[])), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(asked(&["a"]), 1);
        assert_eq!([(); 2].map(|()| asked(&["a"])), [2, 4]);
        assert_eq!(asked(&["a", "b"]), 1);
        assert_eq!(asked(&["b"]), 2);
    }

    #[tokio::test]
    async fn probes_of_calls_become_rare_while_none_is_refused() {
        let mut schedule = ProbeSchedule::new(MIN_INTERVAL, 4 * MIN_INTERVAL);
        let mut asked = |refused: &[&str]| {
            schedule.forget_refused();
            ask(&mut schedule, replies(refused, false))
        };
        assert_eq!([(); 4].map(|()| asked(&[])), [1, 2, 4, 4]);
        assert_eq!([(); 3].map(|()| asked(&["a"])), [1, 1, 1]);
        assert_eq!(asked(&[]), 2);
    }

    #[tokio::test]
    async fn the_first_probes_after_a_quiet_time_are_sent_at_once() {
        let mut schedule = ProbeSchedule::new(MIN_INTERVAL, MAX_INTERVAL);
        assert_eq!(schedule.due(), None);
        for _ in 0..4 {
            ask(&mut schedule, replies(&[], false));
        }
        assert_eq!(schedule.due(), None, "no further burst");
        let later = schedule.next + Duration::from_millis(1);
        schedule.suspect(later);
        assert!(schedule.begin(later));
        schedule.end(later, replies(&[], false));
        assert_eq!(schedule.next - later, MIN_INTERVAL);
    }

    #[tokio::test]
    async fn probes_without_all_replies_are_sent_again() {
        let mut schedule = ProbeSchedule::new(MIN_INTERVAL, MAX_INTERVAL);
        assert_eq!(ask(&mut schedule, replies(&[], true)), 1);
        assert_eq!(schedule.due(), Some(schedule.next));
        let failed = Err(ended());
        assert_eq!(ask(&mut schedule, failed), 2);
        assert_eq!(schedule.due(), Some(schedule.next));
        assert_eq!(ask(&mut schedule, replies(&[], false)), 4);
        assert_eq!(schedule.due(), None);
    }
}
