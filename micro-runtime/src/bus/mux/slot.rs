//! `Slot`: one reply slot, its states and the key that names one use of it. Pure.

use std::num::NonZeroU64;
use std::task::Waker;

use async_nats::Subject;

use crate::wire::subject;

/// One use of one slot: what a reply subject ends in. The key of an earlier use finds no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey {
    pub(super) slot: u32,
    pub(super) nonce: u64,
}

/// One slot, and its use.
#[derive(Debug)]
pub(super) struct Slot<T, S> {
    /// Nonce of the current use; of the last one while the slot is free.
    pub(super) nonce: u64,
    /// Place of the current request among all that were sent, in their order; `None` while it is not sent, and once it
    /// is known to be confirmed.
    pub(super) order: Option<NonZeroU64>,
    /// Whether the current request was sent.
    pub(super) was_sent: bool,
    pub(super) state: SlotState<T, S>,
}

/// How far the request of a slot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestProgress {
    Unsent,
    /// NATS is not known to have taken it.
    Unconfirmed,
    Confirmed,
}

/// State of one slot; the documentation of [`table`](super::table) shows the transitions.
#[derive(Debug)]
pub(super) enum SlotState<T, S> {
    Free,
    /// The call waits for its reply.
    Waiting {
        /// Present once the call was polled.
        waker: Option<Waker>,
        /// Subject of the request, which NATS names if it refuses to take it.
        destination: Subject,
    },
    /// The reply has arrived and was not taken out yet.
    Ready(T),
    /// The reply was taken out and continues as a stream, to which no receiver is attached yet. Nothing can
    /// arrive rightly meanwhile: the server sends no frame before it has a grant from the receiver.
    Held,
    /// Every message goes to the receiver, until the slot is closed.
    Stream {
        sink: S,
        /// Subject of the request until something arrives, then that of the frames, [`NOWHERE`] while it is not known.
        destination: Subject,
        /// Whether `destination` is that of the request.
        is_opening: bool,
    },
}

/// Destination of a stream whose peer has not stated yet where its frames go.
pub(super) const NOWHERE: Subject = Subject::from_static("");

/// What a slot held until it was closed.
#[must_use = "it may own a receiver, whose end wakes a task: drop it behind the lock"]
pub(crate) struct ClosedSlot<T, S> {
    pub(super) state: SlotState<T, S>,
    pub(super) order: Option<NonZeroU64>,
}

impl<T, S> ClosedSlot<T, S> {
    /// Returns where the request went, and its place, if it was sent and there was no reply: NATS may still refuse it.
    pub(crate) fn abandoned(&self) -> Option<(&Subject, NonZeroU64)> {
        Some((self.state.request()?, self.order?))
    }
}

/// A request that waits for a reply, or for the acceptance of its stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitingRequest<'a> {
    pub(crate) destination: &'a Subject,
    pub(crate) key: SlotKey,
    /// Place among all requests that were sent, in their order; `None` while it is not sent.
    pub(crate) order: Option<NonZeroU64>,
}

impl<T, S> SlotState<T, S> {
    /// Notes that NATS has taken the request of a stream, or that it has failed: it must not use up the refusal of
    /// another. No effect on a stream that is accepted.
    #[inline]
    pub(super) fn end_opening(&mut self) {
        if let Self::Stream {
            destination,
            is_opening,
            ..
        } = self
            && std::mem::take(is_opening)
        {
            *destination = NOWHERE;
        }
    }

    /// Returns the subject of a request that was not replied to.
    pub(super) fn request(&self) -> Option<&Subject> {
        match self {
            Self::Waiting { destination, .. }
            | Self::Stream {
                destination,
                is_opening: true,
                ..
            } => Some(destination),
            _ => None,
        }
    }
}

impl SlotKey {
    /// Parses the last token of a reply subject; `None` for a token that no table makes.
    #[inline]
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let (slot, nonce) = subject::parse_reply_token(token)?;
        Some(Self { slot, nonce })
    }
}
