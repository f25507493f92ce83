//! `OpenSubscriptions`: the subscriptions of one connection, for those who act on one that its reader owns.
//!
//! - NATS is asked about each again where its errors may have been lost (`probe`). Of a queue group's messages a probe
//!   may get one, which it hands over to the reader.
//! - When a link is lost, each is made again on the next one, which its reader then reads.
//! - One that NATS has taken and refuses later, as after a reload of the permissions or a reconnect, ends with that
//!   refusal. Those of a server do not: the server watches over all of them, and stops.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use async_nats::{Message, Subject, Subscriber};
use futures_util::{Stream, StreamExt as _};
use smallvec::SmallVec;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::bus::moves::SubscriptionMove;
use crate::bus::permission::Permission;
use crate::bus::probe_subscriptions::ProbeSubscriptions;
use crate::bus::refusal::Refusal;
use crate::error::Error;
use crate::sync::lock;

/// The open subscriptions of one connection, by subject: there may be thousands, and a refusal looks at few of them.
#[derive(Default)]
pub(super) struct OpenSubscriptions(Mutex<BTreeMap<Subject, SmallVec<[Arc<OpenSubscription>; 1]>>>);

/// One open subscription: what others leave for its reader.
pub(super) struct OpenSubscription {
    subject: Subject,
    queue: Option<Box<str>>,
    /// Whether there is something: all that a reader looks at.
    pub(super) has_signal: AtomicBool,
    /// Whether it is not made again on the next link.
    pub(super) has_ended: AtomicBool,
    /// Number of the link that it was made on last; 0 before.
    link: AtomicU64,
    pub(super) signals: Mutex<Signals>,
    /// Held for reading by probes that are being made, for which a stop waits.
    pub(super) joins: Arc<RwLock<()>>,
}

#[derive(Default)]
pub(super) struct Signals {
    pub(super) reader: Option<Waker>,
    pub(super) ends_when_refused: bool,
    pub(super) refusal: Option<Box<Refusal>>,
    /// The same subscription on the next link.
    pub(super) next: Option<Subscriber>,
    /// The moves to other links that have begun, in order.
    pub(super) moves: VecDeque<Arc<SubscriptionMove>>,
    /// Whether it ends behind what has arrived: its connection is closed for good.
    pub(super) is_closed: bool,
    /// `None` while no probe has anything to read, which is nearly always.
    pub(super) probes: Option<Box<ProbeSubscriptions>>,
}

/// Registration of one open subscription, which ends when this is dropped: the reader's end.
pub(super) struct SubscriptionRegistration {
    pub(super) all: Arc<OpenSubscriptions>,
    pub(super) own: Arc<OpenSubscription>,
    /// Waker that a signal wakes.
    pub(super) waker: Option<Waker>,
}

/// A probe that is being made: the subscription does not stop before [`finish`](Self::finish), or NATS could send the
/// probe a message behind the last one that the reader waits for.
pub(super) struct ProbeJoin {
    subscription: Arc<OpenSubscription>,
    _join: OwnedRwLockReadGuard<()>,
}

/// A probe that NATS may still send messages to.
pub(super) struct OpenProbe {
    subscription: Arc<OpenSubscription>,
    id: u64,
}

impl OpenSubscriptions {
    /// Registers a subscription, as a member of a queue group if `queue` is set.
    pub(super) fn add(
        self: &Arc<Self>,
        subject: Subject,
        queue: Option<&str>,
    ) -> SubscriptionRegistration {
        let own = Arc::new(OpenSubscription {
            subject: subject.clone(),
            queue: queue.map(Box::from),
            has_signal: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            link: AtomicU64::new(0),
            signals: Mutex::default(),
            joins: Arc::default(),
        });
        let mut by_subject = lock(&self.0);
        let of_subject = by_subject.entry(subject).or_default();
        of_subject.push(Arc::clone(&own));
        drop(by_subject);
        SubscriptionRegistration {
            all: Arc::clone(self),
            own,
            waker: None,
        }
    }

    /// Returns the permissions that the subscriptions need.
    pub(super) fn permissions(&self) -> HashSet<Permission> {
        let by_subject = lock(&self.0);
        let all = by_subject.values().flatten();
        all.map(|one| Permission::subscribe(&one.subject, one.queue.as_deref()))
            .collect()
    }

    /// Returns whether there is a subscription to this subject in a queue group.
    pub(super) fn has_group(&self, subject: &str) -> bool {
        let by_subject = lock(&self.0);
        let of_subject = by_subject.get(&Subject::from(subject));
        of_subject.is_some_and(|all| all.iter().any(|one| one.queue.is_some()))
    }

    /// Calls `function` with one subscription to this subject in this queue group, if there is one. It does not end
    /// before `function` has returned, which must not wait.
    pub(super) fn while_open<T>(
        &self,
        subject: &Subject,
        queue: Option<&str>,
        function: impl FnOnce(&Arc<OpenSubscription>) -> T,
    ) -> Option<T> {
        let by_subject = lock(&self.0);
        let mut of_subject = by_subject.get(subject)?.iter();
        of_subject
            .find(|one| one.queue.as_deref() == queue)
            .map(function)
    }

    /// Ends the subscriptions that this refusal is of, if they end when they are refused; returns their number.
    pub(super) fn end(&self, refusal: &Refusal) -> usize {
        let Refusal::Subscription { subject, queue } = refusal else {
            return 0;
        };
        let by_subject = lock(&self.0);
        let of_subject = by_subject.get(&Subject::from(subject.as_str()));
        let of_subject = of_subject.cloned().unwrap_or_default();
        drop(by_subject);
        let refused = of_subject
            .iter()
            .filter(|one| one.queue.as_deref() == queue.as_deref());
        refused.filter(|one| one.end(refusal)).count()
    }

    /// Returns those that were made on another link than this one.
    pub(super) fn of_other_links(&self, link: u64) -> Vec<Arc<OpenSubscription>> {
        let by_subject = lock(&self.0);
        let all = by_subject.values().flatten();
        let others = all.filter(|one| ![0, link].contains(&one.link.load(Ordering::Relaxed)));
        others.cloned().collect()
    }

    /// Makes every open subscription again by `subscribe`, on the link of this number, through which nothing goes yet.
    ///
    /// # Errors
    ///
    /// Those of `subscribe`.
    pub(super) async fn make_again<F>(
        &self,
        link: u64,
        subscribe: impl Fn(Subject, Option<Box<str>>) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<Subscriber, Error>>,
    {
        let all = lock(&self.0)
            .values()
            .flatten()
            .cloned()
            .collect::<Vec<_>>();
        for one in all {
            if one.is_open() {
                let subscriber = subscribe(one.subject.clone(), one.queue.clone()).await?;
                one.note_link(link);
                one.go_on_with(subscriber);
            }
        }
        Ok(())
    }

    /// Ends all of them: there will be no further link.
    pub(super) fn close(&self) {
        let all = std::mem::take(&mut *lock(&self.0));
        for one in all.into_values().flatten() {
            one.signal(|signals| {
                one.has_ended.store(true, Ordering::Release);
                signals.is_closed = true;
            });
        }
    }

    pub(super) fn remove(&self, subscription: &Arc<OpenSubscription>) {
        let mut by_subject = lock(&self.0);
        if let Some(of_subject) = by_subject.get_mut(&subscription.subject) {
            of_subject.retain(|one| !Arc::ptr_eq(one, subscription));
            if of_subject.is_empty() {
                by_subject.remove(&subscription.subject);
            }
        }
    }
}

impl OpenSubscription {
    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(super) fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.has_ended.load(Ordering::Acquire)
    }

    /// Leaves the subscription on the next link for the reader, unless it has ended.
    fn go_on_with(&self, subscriber: Subscriber) {
        self.signal(|signals| {
            if self.is_open() {
                signals.next = Some(subscriber);
            }
        });
    }

    /// Lets the reader expect the subscription on another link, before that is made.
    pub(super) fn begin_move(&self) -> Arc<SubscriptionMove> {
        let begun = Arc::new(SubscriptionMove::new(self.queue.is_some()));
        self.signal(|signals| signals.moves.push_back(Arc::clone(&begun)));
        begun
    }

    /// Notes that it was made on this link.
    pub(super) fn note_link(&self, link: u64) {
        self.link.store(link, Ordering::Relaxed);
    }

    /// Begins to make a probe, before NATS receives its subscription; `None` once the subscription stops.
    pub(super) fn begin_join(self: &Arc<Self>) -> Option<ProbeJoin> {
        let join = Arc::clone(&self.joins).try_read_owned().ok()?;
        Some(ProbeJoin {
            subscription: Arc::clone(self),
            _join: join,
        })
    }

    /// Ends with a refusal, unless it does not end when it is refused, or has ended; returns whether it does.
    fn end(&self, refusal: &Refusal) -> bool {
        let ends = std::mem::take(&mut lock(&self.signals).ends_when_refused);
        if ends {
            let refusal = Box::new(refusal.clone());
            self.signal(|signals| signals.refusal = Some(refusal));
        }
        ends
    }

    /// Leaves something for the reader, and wakes it.
    fn signal<T>(&self, leave: impl FnOnce(&mut Signals) -> T) -> T {
        let mut signals = lock(&self.signals);
        let left = leave(&mut signals);
        self.has_signal.store(true, Ordering::Release);
        let reader = signals.reader.clone();
        drop(signals);
        if let Some(reader) = reader {
            reader.wake();
        }
        left
    }
}

impl ProbeJoin {
    /// Hands the probe over to the reader, once NATS is sent its subscription and the end of it.
    pub(super) fn finish(
        self,
        messages: impl Stream<Item = Message> + Send + 'static,
    ) -> OpenProbe {
        let id = self.subscription.signal(|signals| {
            let probes = signals.probes.get_or_insert_default();
            probes.add(messages.boxed())
        });
        OpenProbe {
            subscription: self.subscription,
            id,
        }
    }
}

impl Drop for OpenProbe {
    fn drop(&mut self) {
        self.subscription.signal(|signals| {
            if let Some(probes) = &mut signals.probes {
                probes.end(self.id);
            }
        });
    }
}

#[cfg(test)]
#[path = "open_subscriptions_tests.rs"]
mod tests;
