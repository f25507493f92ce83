//! `Rule`: one fault as a value, and `ActiveRule`, its counts on a bus.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::bus::fault_injection::forgery::Forgery;
use crate::subject;

/// Class of a message on the in-process carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageKind {
    /// Request of a call, the opening of a stream, or a query of discovery: it has a reply subject.
    Request,
    /// Reply to one of these: a message in an inbox.
    Reply,
    /// Frame of a stream, in either direction.
    Frame,
    /// Anything else: events.
    Event,
}

/// One fault: the messages that it applies to, how often it does, and what happens to them.
///
/// Without options it applies to every message that its pattern matches. Of several rules the first one that acts
/// on a message decides; the others neither see nor count it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use micro_runtime::faults::{MessageKind, Rule};
///
/// // Every second reply arrives up to 20 ms late.
/// let late = Rule::delay(">", Duration::ZERO..Duration::from_millis(20))
///     .of_kind(MessageKind::Reply)
///     .with_probability(0.5);
/// // The third frame of all streams is lost.
/// let lost = Rule::drop(">").of_kind(MessageKind::Frame).nth(3);
/// # let _ = (late, lost);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Rule {
    pattern: String,
    kind: Option<MessageKind>,
    pub(super) probability: f64,
    pub(super) skip: u64,
    pub(super) times: u64,
    pub(super) action: FaultAction,
}

/// Effect of a rule on a message.
#[derive(Clone, Debug)]
pub(super) enum FaultAction {
    Pass,
    Drop,
    Delay(Range<Duration>),
    Duplicate {
        copies: usize,
        delays: Range<Duration>,
    },
    Reorder,
    ForgeReply(Forgery),
}

/// A rule of one bus, with the counts of the messages that it has met.
#[derive(Clone, Debug)]
pub struct ActiveRule(pub(super) Arc<RuleCounts>);

#[derive(Debug, Default)]
pub(super) struct RuleCounts {
    pub(super) matched: AtomicU64,
    pub(super) applied: AtomicU64,
}

impl Rule {
    /// Lets messages pass, and counts them; rules that were added later do not see them.
    pub fn pass(pattern: &str) -> Self {
        Self::new(pattern, FaultAction::Pass)
    }

    /// Loses messages: neither a receiver nor the sender learns of them.
    pub fn drop(pattern: &str) -> Self {
        Self::new(pattern, FaultAction::Drop)
    }

    /// Delivers messages later, each after a time drawn from `delays`. Later messages overtake them.
    pub fn delay(pattern: &str, delays: Range<Duration>) -> Self {
        Self::new(pattern, FaultAction::Delay(delays))
    }

    /// Delivers messages, and `copies` further copies of each, every copy after a time drawn from `delays`; an
    /// empty range such as `Duration::ZERO..Duration::ZERO` stands for its start.
    pub fn duplicate(pattern: &str, copies: usize, delays: Range<Duration>) -> Self {
        Self::new(pattern, FaultAction::Duplicate { copies, delays })
    }

    /// Delivers a message behind the next one of the same subject that the rule applies to: two neighbors change
    /// places. A message that none follows within 20 ms is delivered then.
    pub fn reorder(pattern: &str) -> Self {
        Self::new(pattern, FaultAction::Reorder)
    }

    /// Delivers a forged reply to each request that matches, before the request itself. A message without a reply
    /// subject passes unchanged.
    pub fn forge_reply(pattern: &str, forgery: Forgery) -> Self {
        Self::new(pattern, FaultAction::ForgeReply(forgery))
    }

    /// Restricts the rule to messages of one kind; to all kinds by default.
    pub fn of_kind(self, kind: MessageKind) -> Self {
        Self {
            kind: Some(kind),
            ..self
        }
    }

    /// Sets the probability with which the rule acts on a message that matches; 1 by default.
    ///
    /// # Panics
    ///
    /// For a number that is not between 0 and 1.
    pub fn with_probability(self, probability: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&probability),
            "{probability} is no probability: write a number from 0 to 1"
        );
        Self {
            probability,
            ..self
        }
    }

    /// Lets the first `messages` that match pass; 0 by default.
    pub fn skip(self, messages: u64) -> Self {
        Self {
            skip: messages,
            ..self
        }
    }

    /// Limits the number of messages that the rule acts on; unlimited by default.
    pub fn times(self, messages: u64) -> Self {
        Self {
            times: messages,
            ..self
        }
    }

    /// Acts on the `n`-th message that matches alone, counted from 1.
    pub fn nth(self, n: u64) -> Self {
        self.skip(n.saturating_sub(1)).times(1)
    }

    fn new(pattern: &str, action: FaultAction) -> Self {
        Self {
            pattern: valid_pattern(pattern),
            kind: None,
            probability: 1.0,
            skip: 0,
            times: u64::MAX,
            action,
        }
    }

    /// Returns whether the rule applies to messages of this kind on this subject.
    pub(super) fn matches(&self, kind: MessageKind, subject: &str) -> bool {
        self.kind.is_none_or(|only| only == kind) && subject::matches(&self.pattern, subject)
    }
}

impl ActiveRule {
    /// Returns the number of messages of its kind and pattern that reached the rule.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.0.matched.load(Ordering::Relaxed)
    }

    /// Returns the number of messages that the rule acted on.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.0.applied.load(Ordering::Relaxed)
    }
}

/// Returns a pattern of subjects, after a check.
///
/// # Panics
///
/// For a text that is none.
pub(super) fn valid_pattern(pattern: &str) -> String {
    if let Some(flaw) = subject::raw_flaw(pattern, true) {
        panic!("`{pattern}` is no pattern of subjects: {flaw}");
    }
    pattern.to_owned()
}
