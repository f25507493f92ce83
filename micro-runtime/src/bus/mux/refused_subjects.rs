//! `RefusedSubjects`: what NATS has just refused to a connection, so that the next calls fail at once.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroU64;
use std::time::Duration;

use async_nats::Subject;
use tokio::time::Instant;

use crate::bus::refusal_memory::RefusalMemory;
use crate::status::Status;

/// Time for which a refused subject is remembered. A call that was sent while its refusal was on the way ends by
/// that refusal; this spares NATS and its log the calls that come right after. Permissions may be extended by a
/// reload, so it is short.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Time for which a request that was given up is remembered, since its refusal may still come: NATS sends it within a
/// round trip, which is longer where much is queued on either side.
const ABANDONED: Duration = Duration::from_secs(10);
/// Maximum number of subjects of requests that were given up and whose refusal may still come.
const MAX_ABANDONED: usize = 64;
/// Maximum number of requests to each of these, the last ones.
const MAX_ABANDONED_REQUESTS: usize = 64;

/// Subjects that NATS refuses to a connection. Empty as long as nothing is refused, which is all that a call looks at.
pub(super) struct RefusedSubjects {
    /// Error of every call while the subscription of the inbox is refused.
    inbox: Option<Status>,
    /// Number of refusals of that subscription so far.
    inbox_refusals: u64,
    /// Whether something has failed for that since it was last tried again.
    is_inbox_wanted: bool,
    /// Subjects that may not be published to.
    subjects: RefusalMemory<Status>,
    /// Subjects of the last requests whose caller has gone before there was a reply, each once, in the order of their
    /// last request.
    abandoned: VecDeque<AbandonedRequests>,
    /// Subjects that NATS is being asked about, since errors were lost.
    probed: HashSet<String>,
}

/// The last requests to one subject whose callers have gone.
struct AbandonedRequests {
    subject: Subject,
    /// Place of each among all requests that were sent.
    orders: VecDeque<NonZeroU64>,
    /// When the last of them was given up.
    last: Instant,
}

impl Default for RefusedSubjects {
    fn default() -> Self {
        Self {
            inbox: None,
            inbox_refusals: 0,
            is_inbox_wanted: false,
            subjects: RefusalMemory::new(REMEMBERED),
            abandoned: VecDeque::new(),
            probed: HashSet::new(),
        }
    }
}

impl RefusedSubjects {
    /// Returns the error of a request to this subject, if it is known to fail.
    #[inline]
    pub(super) fn check(&mut self, subject: &Subject) -> Result<(), Status> {
        self.check_inbox()?;
        match self.subjects.is_empty() {
            true => Ok(()),
            false => self.check_subject(subject),
        }
    }

    /// Returns the error of everything that waits for a reply, if the inbox is refused.
    #[inline]
    pub(super) fn check_inbox(&mut self) -> Result<(), Status> {
        match &self.inbox {
            None => Ok(()),
            Some(status) => {
                self.is_inbox_wanted = true;
                Err(status.clone())
            }
        }
    }

    #[cold]
    fn check_subject(&mut self, subject: &Subject) -> Result<(), Status> {
        match self.subjects.find(subject) {
            Some(status) => Err(status.clone()),
            None => Ok(()),
        }
    }

    /// Returns whether the subject was refused within the last second.
    pub(super) fn is_remembered(&self, subject: &str) -> bool {
        self.subjects.contains(subject)
    }

    /// Notes that the caller of a request that was sent has gone, so that a refusal which comes late is not taken for
    /// that of an event, or of another request.
    pub(super) fn abandon(&mut self, destination: Subject, order: NonZeroU64) {
        let now = Instant::now();
        self.abandoned.retain(|known| known.is_recent(now));
        let is_known = |known: &AbandonedRequests| known.subject == destination;
        let known = self.abandoned.iter().position(is_known);
        let mut requests = match known.and_then(|place| self.abandoned.remove(place)) {
            Some(known) => known,
            None => AbandonedRequests {
                subject: destination,
                orders: VecDeque::new(),
                last: now,
            },
        };
        if requests.orders.len() == MAX_ABANDONED_REQUESTS {
            requests.orders.pop_front();
        }
        requests.orders.push_back(order);
        requests.last = now;
        if self.abandoned.len() == MAX_ABANDONED {
            self.abandoned.pop_front();
        }
        self.abandoned.push_back(requests);
    }

    /// Returns the places of the requests to this subject that were given up within the last [`ABANDONED`]; those that
    /// are removed are not returned again.
    pub(super) fn abandoned(&mut self, subject: &str) -> Option<&mut VecDeque<NonZeroU64>> {
        let now = Instant::now();
        let mut all = self.abandoned.iter_mut();
        let known = all.find(|known| known.is_recent(now) && known.subject.as_str() == subject);
        known.map(|known| &mut known.orders)
    }

    /// Forgets all refusals. The number of those of the inbox goes on, and so does a probe that is under way.
    pub(super) fn forget(&mut self) {
        *self = Self {
            inbox_refusals: self.inbox_refusals,
            // Its end resets this.
            probed: std::mem::take(&mut self.probed),
            ..Self::default()
        };
    }

    /// Notes which subjects NATS is being asked about.
    pub(super) fn set_probed(&mut self, subjects: HashSet<String>) {
        self.probed = subjects;
    }

    /// Returns whether NATS is being asked about this subject.
    pub(super) fn is_probed(&self, subject: &str) -> bool {
        self.probed.contains(subject)
    }

    /// Remembers that NATS refuses messages to this subject.
    pub(super) fn remember(&mut self, subject: &str, status: &Status) {
        self.subjects.remember(subject, status.clone());
    }

    /// Remembers that NATS refuses the subscription of the inbox, until it is allowed or the connection is made anew.
    pub(super) fn refuse_inbox(&mut self, status: Status) {
        self.inbox = Some(status);
        self.inbox_refusals += 1;
    }

    /// Returns the number of refusals of the inbox so far.
    pub(super) fn inbox_refusals(&self) -> u64 {
        self.inbox_refusals
    }

    /// Notes that NATS takes the subscription of the inbox, unless it was refused again after `refusals` of it. Returns
    /// whether the inbox is allowed.
    pub(super) fn allow_inbox(&mut self, refusals: u64) -> bool {
        if self.inbox_refusals == refusals {
            self.inbox = None;
        }
        self.inbox.is_none()
    }

    pub(super) fn is_inbox_refused(&self) -> bool {
        self.inbox.is_some()
    }

    /// Returns whether something has failed since this was last called, as the inbox is refused.
    pub(super) fn take_inbox_wanted(&mut self) -> bool {
        std::mem::take(&mut self.is_inbox_wanted)
    }
}

impl AbandonedRequests {
    fn is_recent(&self, now: Instant) -> bool {
        now - self.last < ABANDONED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Code, Reason};

    fn order(place: u64) -> NonZeroU64 {
        NonZeroU64::new(place).unwrap()
    }

    fn refused() -> Status {
        Reason::NotPermitted.status("no")
    }

    #[tokio::test(start_paused = true)]
    async fn a_subject_is_forgotten_after_a_second() {
        let mut subjects = RefusedSubjects::default();
        let (one, other) = (Subject::from("a.B.One"), Subject::from("a.B.Other"));
        subjects.remember(&one, &refused());
        assert_eq!(
            subjects.check(&one).unwrap_err().code(),
            Code::PermissionDenied
        );
        assert!(subjects.is_remembered(&one) && !subjects.is_remembered(&other));
        assert!(subjects.check(&other).is_ok());
        tokio::time::advance(REMEMBERED).await;
        assert!(!subjects.is_remembered(&one));
        assert!(subjects.check(&one).is_ok());
        assert!(subjects.subjects.is_empty(), "nothing is looked at again");
    }

    #[test]
    fn the_last_requests_that_were_given_up_are_known_each_once() {
        let mut subjects = RefusedSubjects::default();
        let mut orders = (1..).map(order);
        for number in 0..=MAX_ABANDONED {
            for _ in 0..2 {
                let subject = Subject::from(format!("a.{number}"));
                subjects.abandon(subject, orders.next().unwrap());
            }
        }
        assert_eq!(subjects.abandoned.len(), MAX_ABANDONED);
        assert_eq!(*subjects.abandoned("a.1").unwrap(), [3, 4].map(order));
        assert!(subjects.abandoned("a.0").is_none());
        for place in 200..300 {
            subjects.abandon(Subject::from("a.1"), order(place));
        }
        let last = subjects.abandoned("a.1").unwrap();
        assert_eq!((last.len(), last[0]), (MAX_ABANDONED_REQUESTS, order(236)));
        // It is the oldest one no longer.
        subjects.abandon(Subject::from("a.new"), order(300));
        assert!(subjects.abandoned("a.1").is_some() && subjects.abandoned("a.2").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_given_up_is_forgotten_after_some_time() {
        let mut subjects = RefusedSubjects::default();
        subjects.abandon(Subject::from("a.One"), order(1));
        tokio::time::advance(ABANDONED / 2).await;
        subjects.abandon(Subject::from("a.Two"), order(2));
        tokio::time::advance(ABANDONED / 2).await;
        assert!(subjects.abandoned("a.One").is_none() && subjects.abandoned("a.Two").is_some());
        subjects.abandon(Subject::from("a.Two"), order(3));
        assert_eq!(subjects.abandoned.len(), 1);
    }

    #[test]
    fn an_inbox_that_is_refused_again_meanwhile_is_not_allowed() {
        let mut subjects = RefusedSubjects::default();
        subjects.refuse_inbox(refused());
        let before = subjects.inbox_refusals();
        subjects.forget();
        assert!(!subjects.is_inbox_refused());
        subjects.refuse_inbox(refused());
        assert!(!subjects.allow_inbox(before) && subjects.is_inbox_refused());
        assert!(subjects.allow_inbox(subjects.inbox_refusals()));
        assert!(!subjects.is_inbox_refused());
    }

    #[test]
    fn a_refused_inbox_fails_everything() {
        let mut subjects = RefusedSubjects::default();
        subjects.refuse_inbox(refused());
        assert!(subjects.is_inbox_refused() && !subjects.take_inbox_wanted());
        assert!(subjects.check(&Subject::from("a.B.C")).is_err());
        assert!(subjects.check_inbox().is_err());
        assert!(subjects.take_inbox_wanted() && !subjects.take_inbox_wanted());
        assert!(subjects.allow_inbox(1));
        assert!(subjects.check_inbox().is_ok() && !subjects.is_inbox_refused());
        assert!(!subjects.take_inbox_wanted());
    }
}
