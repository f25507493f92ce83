//! The life of a delivery: its states, and what becomes of it. Does no I/O.
//!
//! A delivery is one message of a consumer: one event, sent to one process once. JetStream knows it as pending from the
//! moment that it was sent, and sends the event again when `ack_wait` has passed without an acknowledgment or a report
//! of progress.
//!
//! ```text
//!                  the server stops
//!           ┌───────────────────────────────────────────► given back
//!           │
//!        waiting ──► begun ──► succeeded
//!           │          │  ▲
//!           │          │  └─ progress: the handler timeout begins anew
//!           │          ├──► failed ──► waiting, of the next delivery
//!           │          ├──► settling ──► dead-lettered
//!           │          └──► given back (the end of the grace period)
//!           └─► settling ──► dead-lettered (begun too often, without an outcome)
//!
//!        each of them ──► lost (the process or the connection ends), or stale (the stream was declared anew)
//! ```
//!
//! | state | entered by | what the consumer sends | counts as an attempt |
//! |---|---|---|---|
//! | waiting | the arrival | `+WPI`, while a handler that is in time holds up others | no |
//! | begun | the loop, with a permit, after [`AttemptLedger::record_begun`] of a suspect | `+WPI`, until the deadline of the handler | yes |
//! | succeeded | the handler | `+ACK` | |
//! | failed | the handler, its panic, its deadline | `-NAK` with the delay of [`Durable::backoff`] | |
//! | settling | [`outcome`], or `max_attempts` begun without an outcome | `+WPI`, until the letter is stored | |
//! | dead-lettered | the letter is stored | `+TERM` | |
//! | given back | the stop of the server, or where it was begun the end of the grace period | `-NAK` | only if it was begun |
//! | lost | nothing: `ack_wait` passes | | only if it was begun, as far as is known |
//! | stale | [`StreamGeneration`] | nothing: its sequence may name another event now | |
//!
//! # Delivered is not begun
//!
//! JetStream counts what it sends. An event that ends its process takes all with it that the process holds, and each
//! orderly stop may give events back: a limit of deliveries would bury events that no handler has seen. So attempts
//! are counted apart, by an [`AttemptRecord`] of each event that was delivered more than once:
//!
//! 1. The first delivery has no record. It costs nothing.
//! 2. A failure, and what is given back, are recorded with the number of attempts so far, before the `-NAK`.
//! 3. A redelivery is judged ([`judge`]) before it enters the queue. One that directly follows a recorded end is as any
//!    other event. The others are suspects: a process may have ended while it handled them.
//! 4. Suspects are handled one at a time, each alone in its batch, and each is recorded as begun before it is. So what
//!    ends a process is known, and nothing else is counted beside it.
//!
//! [`AttemptLedger::record_begun`]: crate::jetstream::attempt_ledger::AttemptLedger::record_begun
//! [`StreamGeneration`]: crate::jetstream::stream_generation::StreamGeneration

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::context::Context;
use crate::jetstream::durable::Durable;
use crate::status::{Code, Reason, Status};

/// State of a delivery that this process holds.
#[derive(Clone, Debug, Default)]
pub(super) enum DeliveryState {
    /// It has arrived; no handler has begun with it.
    #[default]
    Waiting,
    /// A handler has begun with it, and has this context.
    Begun(Context),
    /// It has its outcome, which is not reported yet: its dead letter is not stored.
    Settling,
}

/// Outcome of an event whose handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// It is acknowledged.
    Succeeded,
    /// It is delivered again, after this delay.
    Retried(Duration),
    /// It becomes a dead letter.
    GivenUp,
}

/// Number of attempts at an event, as the consumer has last recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AttemptRecord {
    /// How often handlers have begun with the event.
    pub(super) attempts: u64,
    /// Number of the delivery that recorded it, by JetStream's count.
    pub(super) delivery: u64,
    /// Whether the last attempt had an outcome, or no handler had begun.
    pub(super) is_ended: bool,
}

/// Judgment of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgment {
    /// Number of attempts that are known to have begun before.
    pub(super) known: u64,
    /// Whether a process may have ended while it handled the event.
    pub(super) is_suspect: bool,
}

impl DeliveryState {
    /// Returns whether a handler has outlived its deadline: it blocks its thread, since it would have been dropped.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        match self {
            Self::Begun(ctx) => ctx.deadline().is_some_and(|deadline| deadline < now),
            Self::Waiting | Self::Settling => false,
        }
    }
}

impl Judgment {
    /// Judgment of the first delivery of an event.
    pub(super) const FIRST: Self = Self {
        known: 0,
        is_suspect: false,
    };

    /// Returns the judgment where attempts are not recorded: each delivery counts as one.
    pub(super) fn by_deliveries(deliveries: u64) -> Self {
        Self {
            known: deliveries.saturating_sub(1),
            is_suspect: false,
        }
    }

    /// Returns the number of this attempt.
    pub(super) fn attempt(self) -> u64 {
        self.known + 1
    }
}

/// Judges the redelivery of an event by its record; `deliveries` is JetStream's count with this one.
///
/// Without a record the first delivery may have begun. So may one that was delivered behind a recorded end. Neither is
/// known, and so neither counts: an event that no handler has begun with as often as it may is never given up, and one
/// that ends each process that handles it is begun once more than it may.
pub(super) fn judge(record: Option<AttemptRecord>, deliveries: u64) -> Judgment {
    let (known, is_suspect) = match record {
        None => (0, true),
        Some(record) => {
            let is_next = record.delivery + 1 == deliveries;
            (record.attempts, !record.is_ended || !is_next)
        }
    };
    Judgment { known, is_suspect }
}

/// Decides what becomes of an event at this attempt. `is_alone` is `false` in a batch of several events, which fail
/// together: the fault may be that of another one, so that none is given up before it has failed alone.
pub(super) fn outcome(
    durable: &Durable,
    handled: &Result<(), Status>,
    attempt: u64,
    is_alone: bool,
) -> AttemptOutcome {
    match handled {
        Ok(()) => AttemptOutcome::Succeeded,
        Err(status) if is_unreadable(status) || (is_alone && is_final(status)) => {
            AttemptOutcome::GivenUp
        }
        Err(_) if attempt >= durable.attempt_limit() => AttemptOutcome::GivenUp,
        Err(_) => AttemptOutcome::Retried(durable.delay_after(attempt)),
    }
}

/// Returns whether the bytes of a delivery are no such event.
fn is_unreadable(status: &Status) -> bool {
    matches!(
        status.reason(),
        Some(Reason::Undecodable | Reason::BadHeader | Reason::ContentType)
    )
}

/// Returns whether no further attempt can succeed, by what the handler has returned.
///
/// `NOT_FOUND` and `FAILED_PRECONDITION` are not final: the event that makes them untrue may be on its way.
fn is_final(status: &Status) -> bool {
    status.is_rejection()
        || matches!(
            status.code(),
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented
        )
}

#[cfg(test)]
#[path = "delivery_state_tests.rs"]
mod tests;
