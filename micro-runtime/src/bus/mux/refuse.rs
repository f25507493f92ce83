//! `Mux::refuse`: ends the calls and streams that NATS refuses.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use async_nats::Subject;

use crate::bus::mux::mux::{FrameSink, Mux, MuxState, ReplyResult};
use crate::bus::mux::slot::SlotKey;
use crate::bus::mux::table::DeliveryOutcome;
use crate::bus::refusal::{Refusal, inbox_refused, publish_refused, reply_subject_refused};
use crate::status::Status;
use crate::sync::lock;
use crate::wire::subject::{reply_pattern, reply_token};

/// Refusals of one subject.
struct RefusedPublishes {
    /// Number of messages that NATS has refused.
    count: usize,
    status: Status,
}

/// A request that NATS may have refused.
struct Candidate {
    /// `None` if it is not sent yet.
    order: Option<NonZeroU64>,
    /// `None` if its caller has gone.
    key: Option<SlotKey>,
}

/// Outcome of ending one request.
type SlotOutcome = DeliveryOutcome<ReplyResult, Arc<dyn FrameSink>>;

/// The subjects that NATS is being asked about, for as long as this lives.
pub(crate) struct ProbedSubjects<'a>(&'a Mux);

impl Mux {
    /// Ends calls and streams that NATS refuses with `PERMISSION_DENIED`, those of all `refusals` in one walk over the
    /// slots. Returns for each refusal whether it was about a call or stream, one whose caller has gone included, or is
    /// about a subject that was refused to one just before.
    ///
    /// NATS names the subject alone, but it reports one error for each message that it refuses, and processes the
    /// messages of a connection in order: after a reload that revokes a subject it has taken the first requests to it,
    /// whose handlers may run, and refuses all that come after. So each refusal of a subject ends one request to it,
    /// the last one that was sent and waits:
    ///
    /// - A request that is not sent yet, or never, has no place in the order (`SlotTable::mark_sent`).
    /// - One that was sent and whose caller has gone counts, too.
    /// - While NATS is being asked about a subject, since errors were lost, one refusal ends all that wait.
    /// - A refused frame ends its stream, whose subject no other uses.
    ///
    /// The subject is remembered for about a second.
    pub(crate) fn refuse(&self, refusals: &[Refusal]) -> Vec<bool> {
        let mut publishes = HashMap::new();
        for refusal in refusals {
            if let Refusal::Publish(subject) = refusal {
                let refused = publishes.entry(subject.as_str());
                let refused = refused.or_insert_with(|| RefusedPublishes {
                    count: 0,
                    status: publish_refused(subject),
                });
                refused.count += 1;
            }
        }
        let mut claims = match publishes.is_empty() {
            true => HashMap::new(),
            false => self.refuse_publishes(&publishes),
        };
        let is_claimed = |refusal: &Refusal| match refusal {
            Refusal::Publish(subject) => {
                let claimed = claims.get_mut(subject.as_str());
                let is_of_request = claimed.is_some_and(take_one);
                is_of_request || lock(&self.state).refused.is_remembered(subject)
            }
            other => self.refuse_other(other),
        };
        refusals.iter().map(is_claimed).collect()
    }

    /// Applies refused publishes; returns the number of requests to each subject that they ended, those whose callers
    /// have gone included.
    fn refuse_publishes<'a>(
        &self,
        publishes: &HashMap<&'a str, RefusedPublishes>,
    ) -> HashMap<&'a str, usize> {
        let mut state = lock(&self.state);
        let (outcomes, claims) = state.refuse_requests(publishes);
        let mut sinks = Vec::new();
        for (destination, sink) in state.table.open_streams() {
            if let Some(refused) = publishes.get(destination.as_str()) {
                sinks.push((Arc::clone(sink), &refused.status));
            }
        }
        drop(state);
        for outcome in outcomes {
            match outcome {
                DeliveryOutcome::Woken(Some(waker)) => waker.wake(),
                DeliveryOutcome::Stream(sink, Err(status)) => sink.refuse(&status, true),
                _ => {}
            }
        }
        for served in lock(&self.inbound_streams).values() {
            if let Some(refused) = publishes.get(served.destination.as_str()) {
                sinks.push((Arc::clone(&served.sink), &refused.status));
            }
        }
        for (sink, status) in sinks {
            sink.refuse(status, false);
        }
        claims
    }

    /// Applies one refusal of something else than a message; returns whether it was about a call or stream.
    fn refuse_other(&self, refusal: &Refusal) -> bool {
        match refusal {
            Refusal::ReplySubject(subject) => {
                self.fail(&Subject::from(&**subject), reply_subject_refused(subject));
                reply_token(&self.inbox, subject).is_some()
            }
            Refusal::Subscription { subject, .. } if *reply_pattern(&self.inbox) == **subject => {
                let status = inbox_refused(&self.inbox);
                lock(&self.state).refused.refuse_inbox(status.clone());
                self.inbox_refusal.notify_one();
                self.fail_waiting(&status);
                true
            }
            _ => false,
        }
    }

    /// Forgets all refusals: a new connection may have other permissions.
    pub(crate) fn forget_refusals(&self) {
        lock(&self.state).refused.forget();
    }

    /// Returns the error of every call while NATS refuses the subscription of the inbox; `Ok` otherwise.
    pub(crate) fn check_inbox(&self) -> Result<(), Status> {
        lock(&self.state).refused.check_inbox()
    }

    /// Returns whether NATS refuses the subscription of the inbox.
    pub(crate) fn is_inbox_refused(&self) -> bool {
        lock(&self.state).refused.is_inbox_refused()
    }

    /// Waits until NATS refuses the subscription of the inbox. For one task at a time. Cancel safe.
    pub(crate) async fn inbox_refused(&self) {
        // A refusal that comes behind the look is stored in the notification.
        while !self.is_inbox_refused() {
            self.inbox_refusal.notified().await;
        }
    }

    /// Returns the number of times that NATS has refused the subscription of the inbox.
    pub(crate) fn inbox_refusals(&self) -> u64 {
        lock(&self.state).refused.inbox_refusals()
    }

    /// Returns whether something has failed for that since this was last called.
    pub(crate) fn take_inbox_wanted(&self) -> bool {
        lock(&self.state).refused.take_inbox_wanted()
    }

    /// Notes that NATS has taken the subscription of the inbox again, unless it was refused once more after `refusals`
    /// of it. Returns whether the inbox is allowed.
    pub(crate) fn allow_inbox(&self, refusals: u64) -> bool {
        lock(&self.state).refused.allow_inbox(refusals)
    }

    /// Returns the subjects of the requests that were sent and wait for a reply, after place `last` in the order, and
    /// the place of the last one.
    pub(crate) fn destinations_since(&self, last: u64) -> (Vec<Subject>, u64) {
        let state = lock(&self.state);
        let requests = state.table.requests();
        let later = requests.filter_map(|request| {
            let place = request.order?.get();
            (place > last).then_some((request.destination, place))
        });
        later.fold((Vec::new(), last), |(mut all, last), (subject, place)| {
            all.push(subject.clone());
            (all, last.max(place))
        })
    }

    /// Returns the subjects that all open streams send their frames to, at the client and at the server.
    pub(crate) fn stream_destinations(&self) -> Vec<Subject> {
        let state = lock(&self.state);
        let open = state.table.open_streams();
        let mut all = open
            .map(|(destination, _)| destination.clone())
            .collect::<Vec<_>>();
        drop(state);
        let served = lock(&self.inbound_streams);
        all.extend(served.values().map(|served| served.destination.clone()));
        all
    }

    /// Returns whether NATS is being asked about this subject.
    pub(crate) fn is_probed(&self, subject: &str) -> bool {
        lock(&self.state).refused.is_probed(subject)
    }

    /// Notes the subjects that NATS is being asked about, until the returned value is dropped: errors were lost, so
    /// that one more ends all requests to a subject.
    pub(crate) fn probe_subjects(&self, subjects: HashSet<String>) -> ProbedSubjects<'_> {
        lock(&self.state).refused.set_probed(subjects);
        ProbedSubjects(self)
    }
}

impl Drop for ProbedSubjects<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.refused.set_probed(HashSet::new());
    }
}

impl MuxState {
    /// Ends requests to refused subjects, and remembers the subjects. Returns the number of requests to each as well.
    fn refuse_requests<'a>(
        &mut self,
        publishes: &HashMap<&'a str, RefusedPublishes>,
    ) -> (Vec<SlotOutcome>, HashMap<&'a str, usize>) {
        let mut candidates: HashMap<&'a str, Vec<Candidate>> = HashMap::new();
        for request in self.table.requests() {
            let refused = publishes.get_key_value(request.destination.as_str());
            let is_candidate =
                |subject: &str| request.order.is_some() || self.refused.is_probed(subject);
            if let Some((&subject, _)) = refused.filter(|(subject, _)| is_candidate(subject)) {
                candidates.entry(subject).or_default().push(Candidate {
                    order: request.order,
                    key: Some(request.key),
                });
            }
        }
        let of_frames = self.table.open_streams();
        let of_frames = of_frames
            .filter_map(|(destination, _)| publishes.get_key_value(destination.as_str()))
            .map(|(&subject, _)| subject);
        let refused = of_frames.chain(candidates.keys().copied());
        for subject in refused.collect::<Vec<_>>() {
            let status = &publishes[subject].status;
            self.refused.remember(subject, status);
        }
        let mut outcomes = Vec::new();
        let mut claims = HashMap::new();
        for (&subject, refused) in publishes {
            let mut candidates = candidates.remove(subject).unwrap_or_default();
            let count = match self.refused.is_probed(subject) {
                true => usize::MAX,
                false => refused.count,
            };
            let abandoned = self.refused.abandoned(subject);
            candidates.extend(
                abandoned
                    .iter()
                    .flat_map(|orders| orders.iter())
                    .map(|&order| Candidate {
                        order: Some(order),
                        key: None,
                    }),
            );
            candidates.sort_unstable_by_key(|candidate| Reverse(candidate.order));
            candidates.truncate(count);
            claims.insert(subject, candidates.len());
            if let Some(abandoned) = abandoned
                && let Some(first) = candidates.last()
            {
                abandoned.retain(|&order| Some(order) < first.order);
            }
            for key in candidates.into_iter().filter_map(|candidate| candidate.key) {
                let failed = Err(refused.status.clone());
                outcomes.push(self.table.deliver(key, failed));
            }
        }
        (outcomes, claims)
    }
}

/// Takes one from a count; returns whether there was one.
fn take_one(count: &mut usize) -> bool {
    let has_one = *count > 0;
    *count = count.saturating_sub(1);
    has_one
}
