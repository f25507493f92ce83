//! `Refusals`: passes what NATS refuses to those that it concerns, on one connection.
//!
//! [`apply`](Refusals::apply) is the one entry, of both carriers: the task that reads NATS's errors calls it
//! (`refusal_reader`), and so may a carrier that injects refusals. In this order:
//!
//! 1. Observers are called: whatever subscribes or publishes outside of the reply slots, such as a server, a
//!    subscription that is being opened, a durable consumer.
//! 2. Calls and streams end, by their reply slots ([`Mux::refuse`]). After the observers: a message to the own inbox
//!    is one of them, and its end must not be seen before the refusal of a subscription that came first.
//! 3. Subscriptions that are open end ([`OpenSubscriptions`]).
//! 4. A refused publish that concerns none of these is the reply of a server, if one on this connection sends
//!    replies to such subjects, or else an event.
//!
//! Nothing here stops anything by itself: an observer decides what a refusal means for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::watch;

use crate::bus::mux::Mux;
use crate::bus::open_subscriptions::OpenSubscriptions;
#[cfg(feature = "jetstream")]
use crate::bus::publish_uses::PublishUses;
use crate::bus::reconnects::Reconnects;
use crate::bus::refusal::Refusal;
use crate::bus::refusal_log::{Concern, RefusalLogs};
use crate::bus::refused_cancels::RefusedCancels;
use crate::bus::refused_events::RefusedEvents;
use crate::observe;
use crate::printable::Printable;
use crate::sync::lock;
use crate::wire::refused_subject;
use crate::wire::subject;

/// Number of events from which async-nats may have dropped one: it keeps as many for its callback.
pub(super) const MIN_LOSSY_EVENTS: u64 = 128;

/// A function that is called with every refusal of a connection. It runs in the task that reads them and must not
/// wait.
type Observe = dyn Fn(&Refusal) -> Concern + Send + Sync;

/// The refusals of one connection.
pub(crate) struct Refusals {
    mux: Arc<Mux>,
    observers: Mutex<Observers>,
    subscriptions: Arc<OpenSubscriptions>,
    #[cfg(feature = "jetstream")]
    publish_uses: Arc<PublishUses>,
    reconnects: Reconnects,
    logs: RefusalLogs,
    /// Refused publishes that no call, stream or server waited for.
    refused_events: RefusedEvents,
    /// Shared with those who ask NATS about subscriptions, each of which takes one more for a moment.
    subscription_probes: Arc<()>,
    /// Number of events of the connection that were passed on, refusals among them.
    events: watch::Sender<u64>,
    /// Whether NATS has rejected a malformed subject that no marker has sent.
    has_malformed_of_others: AtomicBool,
    /// Counts the bursts of events that may have cost some.
    losses: watch::Sender<u64>,
    refused_cancels: RefusedCancels,
}

#[derive(Default)]
struct Observers {
    next_id: u64,
    /// By number, in the order in which they were added.
    all: BTreeMap<u64, Arc<Observe>>,
    /// Those that are called for a publish that concerns none of `all`.
    of_replies: BTreeMap<u64, Arc<Observe>>,
}

/// Registration of an observer, which ends when this is dropped.
pub(crate) struct RefusalObserver {
    refusals: Arc<Refusals>,
    id: u64,
}

impl Refusals {
    pub(crate) fn new(mux: Arc<Mux>) -> Self {
        Self {
            mux,
            observers: Mutex::default(),
            subscriptions: Arc::default(),
            #[cfg(feature = "jetstream")]
            publish_uses: Arc::default(),
            reconnects: Reconnects::new(),
            logs: RefusalLogs::default(),
            refused_events: RefusedEvents::new(),
            subscription_probes: Arc::default(),
            events: watch::Sender::new(0),
            has_malformed_of_others: AtomicBool::new(false),
            losses: watch::Sender::new(0),
            refused_cancels: RefusedCancels::default(),
        }
    }

    /// Passes refusals on, in the order in which NATS sent them. Many at once cost one walk over the reply slots.
    pub(crate) fn apply(&self, refusals: &[Refusal]) {
        let refusals = &*self.name_groups(refusals);
        let observers = lock(&self.observers);
        let all = observers.all.values().cloned().collect::<Vec<_>>();
        let of_replies = observers.of_replies.values().cloned().collect::<Vec<_>>();
        drop(observers);
        let concerns = refusals
            .iter()
            .map(|refusal| first_concern(&all, refusal))
            .collect::<Vec<_>>();
        let of_slots = self.mux.refuse(refusals);
        for ((refusal, mut concern), is_of_slot) in refusals.iter().zip(concerns).zip(of_slots) {
            let ended = self.subscriptions.end(refusal);
            if ended > 0 {
                tracing::error!(
                    count = ended,
                    "a subscription has ended: {}",
                    Printable(refusal.text())
                );
            }
            let is_reported = is_of_slot || ended > 0 || self.is_marker(refusal);
            if is_reported && concern == Concern::None {
                concern = Concern::Reported;
            }
            if concern == Concern::None && matches!(refusal, Refusal::Publish(_)) {
                concern = first_concern(&of_replies, refusal);
            }
            if concern == Concern::None && *refusal == Refusal::InvalidSubject {
                self.has_malformed_of_others.store(true, Ordering::Relaxed);
            }
            // A proof asks NATS with a malformed subject on purpose.
            if concern == Concern::None || *refusal != Refusal::InvalidSubject {
                self.mux.counts().refused(refusal.operation());
            }
            self.log(refusal, concern);
        }
    }

    /// Returns whether NATS has refused cancellations on this subject.
    pub(crate) fn is_cancel_refused(&self, subject: &str) -> bool {
        self.refused_cancels.contains(subject)
    }

    /// Returns whether it is the error of a message that nothing waits for: a marker that comes late, a cancellation,
    /// the announcement of a server that has stopped meanwhile.
    fn is_marker(&self, refusal: &Refusal) -> bool {
        match refusal {
            // The error that names its group follows.
            Refusal::Revoked(_) => true,
            Refusal::Publish(subject) if subject::is_cancel(subject) => {
                let is_new = self.refused_cancels.note(subject);
                self.mux.counts().refused_cancel(subject, is_new);
                true
            }
            Refusal::Publish(subject) if subject::is_lifecycle_event(subject) => true,
            Refusal::Publish(subject) | Refusal::ReplySubject(subject) => {
                refused_subject::is_marker(self.mux.inbox(), subject)
            }
            _ => false,
        }
    }

    /// Counts events of the connection; must precede [`apply`](Self::apply) of the refusals among them.
    pub(super) fn count_events(&self, count: usize) {
        self.events.send_modify(|events| *events += count as u64);
    }

    /// Returns the number of events of the connection that were passed on.
    pub(crate) fn events(&self) -> u64 {
        *self.events.borrow()
    }

    /// Returns once so many events have been passed on since a count of them that one may have been lost. Cancel safe.
    pub(super) async fn lossy_since(&self, since: u64) {
        let mut events = self.events.subscribe();
        // Never an error: the sender is `self`.
        let _ = events.wait_for(|events| is_lossy(since, *events)).await;
    }

    /// Returns the open subscriptions, which NATS is asked about again where a refusal of one may have been lost.
    pub(super) fn subscriptions(&self) -> &Arc<OpenSubscriptions> {
        &self.subscriptions
    }

    /// Returns what is published to outside of the reply slots, which NATS is asked about as well.
    #[cfg(feature = "jetstream")]
    pub(super) fn publish_uses(&self) -> &Arc<PublishUses> {
        &self.publish_uses
    }

    /// Notes that a burst of events may have cost some.
    pub(super) fn suspect_loss(&self) {
        self.losses.send_modify(|losses| *losses += 1);
    }

    /// Returns the number of bursts that may have cost events, to wait for the next one.
    pub(super) fn suspected_losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// Returns [`events`](Self::events) as the connection was last made anew.
    pub(crate) fn events_at_reconnect(&self) -> u64 {
        self.reconnects.events_before()
    }

    /// Returns whether NATS has rejected a malformed subject that no marker has sent.
    pub(super) fn has_malformed_of_others(&self) -> bool {
        self.has_malformed_of_others.load(Ordering::Relaxed)
    }

    /// Returns the subject under which all replies arrive, without the last token.
    pub(super) fn inbox(&self) -> &Subject {
        self.mux.inbox()
    }

    /// Forgets what the last link was refused: the permissions of the next one may be others. Precedes its
    /// subscriptions.
    pub(super) fn begin_link(&self) {
        self.mux.forget_refusals();
        self.refused_events.forget();
        self.refused_cancels.forget();
        self.reconnects.begin(self.events());
    }

    /// Notes that messages go through a new link.
    pub(super) fn reconnected(&self) {
        self.reconnects.complete();
        observe::reconnected();
    }

    /// Returns whether messages go through a new link for at most so long.
    pub(super) fn reconnected_since(&self, time: Duration) -> bool {
        self.reconnects.is_within(time)
    }

    /// Returns the number of new connections, to wait for the next one.
    pub(crate) fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnects.subscribe()
    }

    pub(crate) fn reconnect_count(&self) -> u64 {
        self.reconnects.count()
    }

    /// Returns the number of refused publishes that nothing waited for: events of core NATS.
    pub(crate) fn refused_events(&self) -> u64 {
        self.refused_events.count()
    }

    /// Returns whether some event was refused a moment ago, so that each has to be looked for.
    #[inline]
    pub(super) fn has_refused_events(&self) -> bool {
        self.refused_events.has_subjects()
    }

    /// Counts an event as refused if NATS has just refused one to the same subject. It must not be sent then.
    pub(super) fn refuse_event(&self, subject: &str) -> bool {
        let is_refused = self.refused_events.keeps_back(subject);
        if is_refused {
            self.mux.counts().refused("publish");
            self.logs.write_again(Concern::Event);
        }
        is_refused
    }

    /// Notes that NATS is asked about subscriptions by further ones, until the result is dropped.
    pub(super) fn probe_subscriptions(&self) -> Arc<()> {
        Arc::clone(&self.subscription_probes)
    }

    /// Returns whether a refusal for the limit of subscriptions may be that of a probe.
    pub(crate) fn is_probing_subscriptions(&self) -> bool {
        Arc::strong_count(&self.subscription_probes) > 1
    }

    /// Calls `observe` with each refusal from now on.
    pub(crate) fn observe(
        self: &Arc<Self>,
        observe: impl Fn(&Refusal) -> Concern + Send + Sync + 'static,
    ) -> RefusalObserver {
        let mut observers = lock(&self.observers);
        let id = observers.add();
        observers.all.insert(id, Arc::new(observe));
        drop(observers);
        RefusalObserver {
            refusals: Arc::clone(self),
            id,
        }
    }

    /// Calls `observe` with each refused publish from now on that concerns no call, stream or other observer.
    pub(crate) fn observe_replies(
        self: &Arc<Self>,
        observe: impl Fn(&Refusal) -> Concern + Send + Sync + 'static,
    ) -> RefusalObserver {
        let mut observers = lock(&self.observers);
        let id = observers.add();
        observers.of_replies.insert(id, Arc::new(observe));
        drop(observers);
        RefusalObserver {
            refusals: Arc::clone(self),
            id,
        }
    }

    /// Logs a refusal: at debug level where some call or server reports it, as an error where a message is lost in
    /// silence, at once and then with the count each 30 s.
    fn log(&self, refusal: &Refusal, concern: Concern) {
        let text = refusal.text();
        let concern = match (concern, refusal) {
            (Concern::Reported, _) => return tracing::debug!("{}", Printable(text)),
            (Concern::None, Refusal::Publish(subject)) => {
                self.refused_events.add(subject);
                Concern::Event
            }
            (Concern::None, Refusal::ReplySubject(_)) => {
                self.refused_events.add_nameless();
                Concern::Event
            }
            (Concern::None, _) => Concern::Other,
            (concern, _) => concern,
        };
        self.logs.write(concern, text);
    }
}

impl Observers {
    fn add(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Returns whether async-nats may have dropped an event between two counts of events.
///
/// It drops events while 128 wait for its callback. All of these are passed on after the one that was dropped, so with
/// fewer between the counts none was.
pub(super) fn is_lossy(since: u64, until: u64) -> bool {
    until.saturating_sub(since) >= MIN_LOSSY_EVENTS
}

/// Calls each observer, and returns the first concern among theirs.
fn first_concern(observers: &[Arc<Observe>], refusal: &Refusal) -> Concern {
    let mut first = Concern::None;
    for observe in observers {
        let concern = observe(refusal);
        if first == Concern::None {
            first = concern;
        }
    }
    first
}

impl Drop for RefusalObserver {
    fn drop(&mut self) {
        let mut observers = lock(&self.refusals.observers);
        let observer = observers.all.remove(&self.id);
        let observer = observer.or_else(|| observers.of_replies.remove(&self.id));
        drop(observers);
        // Outside of the lock: it may own anything.
        drop(observer);
    }
}

#[cfg(test)]
#[path = "refusals_tests.rs"]
mod tests;
