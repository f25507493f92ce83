//! `Injector`: applies rules to each message that is published. No I/O: messages and times in, messages out.
//!
//! Every rule draws from a generator of its own, seeded by the bus's seed and the number of the rule, so that equal
//! messages in equal order meet equal faults, whatever other rules there are.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Message, Subject};
use smallvec::SmallVec;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::fault_injection::rule::{
    ActiveRule, FaultAction, MessageKind, Rule, RuleCounts, valid_pattern,
};
use crate::bus::outgoing::PublishError;
use crate::bus::refusal::Refusal;
use crate::bus::refusals::Refusals;
use crate::subject::matches;
use crate::sync::lock;
use crate::wire::FrameMark;
use crate::wire::subject;

/// Maximum time that a message which changes places waits for its successor.
pub(super) const MAX_HOLD: Duration = Duration::from_millis(20);
/// Number of reply subjects that are kept; older ones are forgotten.
const MAX_RECORDED: usize = 4096;

/// The faults of one bus.
pub(crate) struct Injector {
    refusals: Arc<Refusals>,
    state: Mutex<State>,
}

/// Messages of one published message that are delivered.
#[derive(Default)]
pub(crate) struct PublishOutcome {
    /// Delivered now, in this order.
    pub(crate) now: SmallVec<[Message; 2]>,
    /// Moments at which [`Injector::take_due`] has further messages.
    pub(crate) due_at: SmallVec<[Instant; 2]>,
    /// Reason why the message is not delivered, for [`Refusals::apply`].
    pub(crate) refusal: Option<Refusal>,
}

struct State {
    seed: u64,
    /// Number of rules added so far.
    added: u64,
    rules: Vec<InstalledRule>,
    /// Patterns of subjects that are refused.
    refused_publishes: Vec<String>,
    refused_subscriptions: Vec<String>,
    scheduled: Schedule,
    /// Canceled when the connection is lost; each connection has its own.
    connection: CancellationToken,
    is_connected: bool,
    replies: VecDeque<Subject>,
}

/// Messages that are delivered later, in the order of their delivery.
#[derive(Default)]
struct Schedule {
    /// Number of messages scheduled so far: messages of one moment keep their order.
    added: u64,
    messages: BTreeMap<(Instant, u64), Message>,
}

struct InstalledRule {
    rule: Rule,
    counts: Arc<RuleCounts>,
    random: fastrand::Rng,
    /// The scheduled message of each subject that waits for its successor.
    held: HashMap<String, (Instant, u64)>,
}

impl Injector {
    /// Returns an injector without rules.
    pub(crate) fn new(seed: u64, refusals: Arc<Refusals>) -> Self {
        Self {
            refusals,
            state: Mutex::new(State {
                seed,
                added: 0,
                rules: Vec::new(),
                refused_publishes: Vec::new(),
                refused_subscriptions: Vec::new(),
                scheduled: Schedule::default(),
                connection: CancellationToken::new(),
                is_connected: true,
                replies: VecDeque::new(),
            }),
        }
    }

    /// Adds a rule behind those that exist.
    pub(crate) fn add(&self, rule: Rule) -> ActiveRule {
        let mut state = lock(&self.state);
        let counts = Arc::new(RuleCounts::default());
        let seed = state
            .seed
            .wrapping_add(state.added.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        state.added += 1;
        state.rules.push(InstalledRule {
            rule,
            counts: Arc::clone(&counts),
            random: fastrand::Rng::with_seed(seed),
            held: HashMap::new(),
        });
        ActiveRule(counts)
    }

    /// Removes all rules. Messages that they have delayed are still delivered.
    pub(crate) fn clear(&self) {
        lock(&self.state).rules.clear();
    }

    /// Refuses messages to subjects that match from now on.
    pub(crate) fn refuse_publish(&self, pattern: &str) {
        let pattern = valid_pattern(pattern);
        lock(&self.state).refused_publishes.push(pattern);
    }

    /// Refuses subscriptions to subjects that match from now on.
    pub(crate) fn refuse_subscribe(&self, pattern: &str) {
        let pattern = valid_pattern(pattern);
        lock(&self.state).refused_subscriptions.push(pattern);
    }

    /// Refuses nothing from now on.
    pub(crate) fn allow_all(&self) {
        let mut state = lock(&self.state);
        state.refused_publishes.clear();
        state.refused_subscriptions.clear();
    }

    /// Returns whether a subscription to this subject is refused.
    pub(crate) fn is_subscription_refused(&self, subject: &str) -> bool {
        is_covered(&lock(&self.state).refused_subscriptions, subject)
    }

    /// Returns what is refused on this bus, for those that it concerns.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Applies the first rule that acts on the message, unless its subject is refused.
    ///
    /// # Errors
    ///
    /// [`PublishError::Disconnected`] while the bus is not connected.
    pub(crate) fn pass(
        &self,
        message: Message,
        now: Instant,
    ) -> Result<PublishOutcome, PublishError> {
        let mut state = lock(&self.state);
        match state.is_connected {
            true => Ok(state.apply_rules(message, now)),
            false => Err(PublishError::Disconnected),
        }
    }

    /// Takes the delayed messages whose moment has come.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<Message> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let mut due = Vec::new();
        while let Some(entry) = state.scheduled.messages.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (key, message) = entry.remove_entry();
            for installed in &mut state.rules {
                installed.forget_held(key, &message.subject);
            }
            due.push(message);
        }
        due
    }

    /// Takes no message from now on, and loses those on their way. Returns whether the bus was connected.
    pub(crate) fn disconnect(&self) -> bool {
        let mut state = lock(&self.state);
        state.scheduled.messages.clear();
        for installed in &mut state.rules {
            installed.held.clear();
        }
        std::mem::take(&mut state.connection).cancel();
        std::mem::replace(&mut state.is_connected, false)
    }

    /// Returns whether messages go through.
    pub(crate) fn is_connected(&self) -> bool {
        lock(&self.state).is_connected
    }

    /// Returns the token that is canceled when the present connection is lost.
    pub(crate) fn connection(&self) -> CancellationToken {
        lock(&self.state).connection.clone()
    }

    /// Connects again. Returns whether the bus was disconnected.
    pub(crate) fn reconnect(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).is_connected, true)
    }

    /// Returns the number of messages that wait for a successor.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let state = lock(&self.state);
        state.rules.iter().map(|rule| rule.held.len()).sum()
    }

    /// Returns the reply subjects of the requests so far, in the order of the requests.
    pub(crate) fn reply_subjects(&self) -> Vec<Subject> {
        lock(&self.state).replies.iter().cloned().collect()
    }
}

impl State {
    fn apply_rules(&mut self, message: Message, now: Instant) -> PublishOutcome {
        if is_covered(&self.refused_publishes, &message.subject) {
            return PublishOutcome {
                refusal: Some(Refusal::Publish(message.subject.to_string())),
                ..PublishOutcome::default()
            };
        }
        let kind = self.record(&message);
        let mut rules = self.rules.iter_mut();
        let first = rules.position(|installed| installed.acts_on(kind, &message.subject));
        let mut outcome = PublishOutcome::default();
        match first {
            Some(at) => self.rules[at].apply(message, now, &mut self.scheduled, &mut outcome),
            None => outcome.now.push(message),
        }
        outcome
    }

    /// Returns the kind of a message, and records the reply subject of a request.
    ///
    /// Frames to a client are told from replies by the mark of a server; an offer of a large reply has headers, too.
    fn record(&mut self, message: &Message) -> MessageKind {
        let subject = &message.subject;
        if subject::is_upstream(subject) {
            return MessageKind::Frame;
        }
        if subject::is_inbox(subject) {
            let is_marked = FrameMark::OfServer.begins(&message.payload);
            return match message.headers.is_none() && is_marked {
                true => MessageKind::Frame,
                false => MessageKind::Reply,
            };
        }
        let Some(reply) = &message.reply else {
            return MessageKind::Event;
        };
        if self.replies.len() == MAX_RECORDED {
            self.replies.pop_front();
        }
        self.replies.push_back(reply.clone());
        MessageKind::Request
    }
}

impl Schedule {
    fn add(&mut self, at: Instant, message: Message) -> (Instant, u64) {
        self.added += 1;
        let key = (at, self.added);
        self.messages.insert(key, message);
        key
    }
}

impl InstalledRule {
    /// Counts the message if it matches, and decides whether the rule acts on it.
    fn acts_on(&mut self, kind: MessageKind, subject: &str) -> bool {
        if !self.rule.matches(kind, subject) {
            return false;
        }
        let earlier = self.counts.matched.fetch_add(1, Ordering::Relaxed);
        let acts = earlier >= self.rule.skip
            && self.counts.applied.load(Ordering::Relaxed) < self.rule.times
            && (self.rule.probability >= 1.0 || self.random.f64() < self.rule.probability);
        self.counts
            .applied
            .fetch_add(u64::from(acts), Ordering::Relaxed);
        acts
    }

    /// Forgets a message that no successor has followed.
    fn forget_held(&mut self, key: (Instant, u64), subject: &str) {
        if self.held.get(subject) == Some(&key) {
            self.held.remove(subject);
        }
    }

    fn apply(
        &mut self,
        message: Message,
        now: Instant,
        scheduled: &mut Schedule,
        outcome: &mut PublishOutcome,
    ) {
        let random = &mut self.random;
        let mut deliver = |message: Message, delay: Duration| {
            if delay.is_zero() {
                return outcome.now.push(message);
            }
            outcome.due_at.push(scheduled.add(now + delay, message).0);
        };
        match &self.rule.action {
            FaultAction::Pass => deliver(message, Duration::ZERO),
            FaultAction::Drop => {}
            FaultAction::Delay(delays) => deliver(message, draw(random, delays)),
            FaultAction::Duplicate { copies, delays } => {
                deliver(message.clone(), Duration::ZERO);
                for _ in 0..*copies {
                    deliver(message.clone(), draw(random, delays));
                }
            }
            FaultAction::ForgeReply(forgery) => {
                if let Some(reply) = &message.reply {
                    deliver(forgery.message(reply.clone()), Duration::ZERO);
                }
                deliver(message, Duration::ZERO);
            }
            FaultAction::Reorder => {
                let held = self.held.remove(message.subject.as_str());
                let held = held.and_then(|key| scheduled.messages.remove(&key));
                match held {
                    Some(held) => outcome.now.extend([message, held]),
                    None => {
                        let subject = message.subject.to_string();
                        let key = scheduled.add(now + MAX_HOLD, message);
                        outcome.due_at.push(key.0);
                        self.held.insert(subject, key);
                    }
                }
            }
        }
    }
}

/// Returns whether one of the patterns covers the subject; tokens of a subscription's pattern count as they are.
fn is_covered(patterns: &[String], subject: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, subject))
}

/// Returns a time of the range, or its start if it is empty.
fn draw(random: &mut fastrand::Rng, delays: &Range<Duration>) -> Duration {
    let width = delays.end.saturating_sub(delays.start).as_nanos();
    let width = u64::try_from(width).unwrap_or(u64::MAX);
    match width {
        0 => delays.start,
        width => delays.start + Duration::from_nanos(random.u64(..width)),
    }
}
