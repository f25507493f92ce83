//! `SlotTable`: which call waits under which reply subject. Pure but for its random numbers: values and wakers in,
//! values and wakers out.
//!
//! A reply subject is `<inbox>.<token>`; the token is a slot's index and a random number, the nonce
//! (docs/PROTOCOL.md, "Reply subjects"). One rule governs everything here: **a message reaches the call that its
//! subject was made for, or no call.**
//!
//! ```text
//!        reserve            deliver           poll
//! Free ──────────▶ Waiting ─────────▶ Ready ──────────▶ Free
//!                     │                 │ poll, and the reply continues as a stream
//!                     │                 ▼   attach_stream
//!                     │               Held ─────────────▶ Stream
//!                     │ close           │ close             │ close
//!                     └─────────────────┴───────────────────┴───▶ Free
//! ```
//!
//! - **A subject is used once.** Each use of a slot draws a new nonce, so a second reply, a late one and one of an
//!   earlier connection name a use that has ended. They cannot be told from each other, and need not be: all of them
//!   are dropped ([`DeliveryOutcome::Unmatched`]).
//! - **A subject cannot be guessed.** The nonce has 64 bits from ChaCha8, which is seeded by the operating system: a
//!   peer that was called, and so knows subjects of the same slots, cannot compute another one. It would have to try
//!   2⁶³ messages on average while the call waits.
//! - **The number of slots follows the calls in flight**, not the calls made. The memory of the table stays at
//!   its peak.
//!
//! A subject costs no allocation: its text is a slice of a buffer that many share ([`CHUNK_LEN`]).

use std::convert::identity;
use std::num::NonZeroU64;
use std::task::{Poll, Waker};

use async_nats::Subject;
use bytes::BytesMut;
use rand::Rng as _;
use rand::rngs::ChaCha8Rng;

use crate::bus::mux::slot::{
    ClosedSlot, NOWHERE, RequestProgress, Slot, SlotKey, SlotState, WaitingRequest,
};
use crate::wire::subject;

/// Length in bytes of the buffer that reply subjects are cut from. A buffer lives until the last of its subjects is
/// dropped, so a longer one would let one slow call keep more memory; a shorter one is allocated more often (one
/// allocation for about 80 calls).
const CHUNK_LEN: usize = 4096;

/// The reply slots of one connection. `T` is the result of a call's wait, `S` the receiver of a stream's frames.
///
/// Nothing here calls a waker or a receiver: methods return them, so that the owner of the lock releases it first.
#[derive(Debug)]
pub(crate) struct SlotTable<T, S> {
    inbox: Box<str>,
    slots: Vec<Slot<T, S>>,
    /// Free slots; the last freed is used first, since its memory is in the processor's cache.
    free: Vec<u32>,
    nonces: ChaCha8Rng,
    /// Number of requests that were sent so far.
    last_order: u64,
    chunk: BytesMut,
}

/// Outcome of delivering a message to a slot.
#[derive(Debug)]
pub(crate) enum DeliveryOutcome<T, S> {
    /// The call has its reply; the caller of `deliver` must wake this waker.
    Woken(Option<Waker>),
    /// The slot belongs to a stream; the caller of `deliver` must hand the message to its receiver.
    Stream(S, T),
    /// No call waits under this subject: the message is late, a second reply, or forged. It is dropped.
    Unmatched,
}

impl<T, S: Clone> SlotTable<T, S> {
    /// Returns an empty table whose subjects begin with the tokens of `inbox`. `nonces` must be seeded at
    /// random, unless in a test.
    pub(crate) fn new(inbox: &str, nonces: ChaCha8Rng) -> Self {
        Self {
            inbox: inbox.into(),
            slots: Vec::new(),
            free: Vec::new(),
            nonces,
            last_order: 0,
            chunk: BytesMut::new(),
        }
    }

    /// Reserves a slot for a call whose request goes to `destination`, and returns the subject for its reply,
    /// which no other call has before or after. Close the slot unless its reply was taken out.
    pub(crate) fn reserve(&mut self, destination: Subject) -> (SlotKey, Subject) {
        let waker = None;
        let key = self.take_free(SlotState::Waiting { waker, destination });
        (key, self.subject(key))
    }

    /// Reserves a slot for a message to the own inbox, and returns its subject.
    pub(crate) fn reserve_own(&mut self) -> (SlotKey, Subject) {
        let (key, subject) = self.reserve(NOWHERE);
        self.set_destination(key, subject.clone());
        (key, subject)
    }

    /// Notes where further messages of the call or stream go: the frames of a stream that is open.
    pub(crate) fn set_destination(&mut self, key: SlotKey, subject: Subject) {
        match self.current(key).map(|slot| &mut slot.state) {
            Some(SlotState::Waiting { destination, .. }) => *destination = subject,
            Some(SlotState::Stream {
                destination,
                is_opening,
                ..
            }) => {
                *destination = subject;
                *is_opening = false;
            }
            _ => {}
        }
    }

    /// Gives the request of a call the last place in the order, as it is sent now. Returns whether the call still waits
    /// for its reply.
    pub(crate) fn mark_sent(&mut self, key: SlotKey) -> bool {
        self.last_order += 1;
        let order = NonZeroU64::new(self.last_order);
        self.current(key).is_some_and(|slot| {
            slot.order = order;
            slot.was_sent = true;
            matches!(slot.state, SlotState::Waiting { .. })
        })
    }

    /// Takes its place from each request up to `confirmed` in the order: NATS has taken them, and refuses them no more.
    pub(crate) fn forget_confirmed(&mut self, confirmed: u64) {
        for slot in &mut self.slots {
            slot.order = slot.order.filter(|order| order.get() > confirmed);
        }
    }

    /// Returns how far the request of this key has come.
    pub(crate) fn progress(&mut self, key: SlotKey) -> RequestProgress {
        match self.current(key) {
            Some(slot) if slot.order.is_some() => RequestProgress::Unconfirmed,
            Some(slot) if slot.was_sent => RequestProgress::Confirmed,
            _ => RequestProgress::Unsent,
        }
    }

    /// Returns whether a result waits for its call to take it out.
    pub(crate) fn has_ready(&self) -> bool {
        let is_ready = |slot: &Slot<T, S>| matches!(slot.state, SlotState::Ready(_));
        self.slots.iter().any(is_ready)
    }

    /// Returns the place of the request that was sent last.
    pub(crate) fn last_order(&self) -> u64 {
        self.last_order
    }

    /// Takes its place from a request that was not sent after all.
    pub(crate) fn mark_unsent(&mut self, key: SlotKey) {
        if let Some(slot) = self.current(key) {
            slot.order = None;
            slot.was_sent = false;
        }
    }

    /// Returns the number of slots that calls and streams have reserved and not freed.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Reserves a slot for a stream whose request goes to `destination`: every message under its subject goes to
    /// `sink` until the slot is closed.
    pub(crate) fn reserve_for_stream(
        &mut self,
        sink: S,
        destination: Subject,
    ) -> (SlotKey, Subject) {
        let key = self.take_free(SlotState::Stream {
            sink,
            destination,
            is_opening: true,
        });
        (key, self.own_subject(key))
    }

    /// Attaches a stream to a slot whose reply continues as one, and returns its subject; `None` in any other state.
    pub(crate) fn attach_stream(&mut self, key: SlotKey, sink: S) -> Option<Subject> {
        let slot = self.current(key)?;
        match slot.state {
            SlotState::Held => {
                slot.state = SlotState::Stream {
                    sink,
                    destination: NOWHERE,
                    is_opening: false,
                };
                Some(self.own_subject(key))
            }
            _ => None,
        }
    }

    /// Delivers a value to the slot of this key; drops one that no call waits for.
    pub(crate) fn deliver(&mut self, key: SlotKey, value: T) -> DeliveryOutcome<T, S> {
        self.deliver_as(key, value, identity)
    }

    /// Delivers a message to the slot that its subject names; drops one that no call waits for. A call gets what
    /// `convert` makes of it, a stream the message itself.
    #[inline]
    pub(crate) fn deliver_as<M>(
        &mut self,
        key: SlotKey,
        message: M,
        convert: impl FnOnce(M) -> T,
    ) -> DeliveryOutcome<M, S> {
        let Some(slot) = self.current(key) else {
            return DeliveryOutcome::Unmatched;
        };
        match &mut slot.state {
            SlotState::Waiting { waker, .. } => {
                let waker = waker.take();
                slot.state = SlotState::Ready(convert(message));
                DeliveryOutcome::Woken(waker)
            }
            SlotState::Stream { sink, .. } => {
                let sink = sink.clone();
                slot.state.end_opening();
                DeliveryOutcome::Stream(sink, message)
            }
            SlotState::Ready(_) | SlotState::Held | SlotState::Free => DeliveryOutcome::Unmatched,
        }
    }

    /// Takes the reply out and frees the slot, or registers the waker.
    ///
    /// If `is_followed` holds for the reply, the slot is held for [`attach_stream`](Self::attach_stream)
    /// instead. Pending for ever once the reply was taken out, and for the key of an earlier use.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        key: SlotKey,
        waker: &Waker,
        is_followed: impl FnOnce(&T) -> bool,
    ) -> Poll<T> {
        let Some(slot) = self.current(key) else {
            return Poll::Pending;
        };
        if let SlotState::Waiting { waker: known, .. } = &mut slot.state {
            match known {
                Some(known) => known.clone_from(waker),
                None => *known = Some(waker.clone()),
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut slot.state, SlotState::Free) {
            SlotState::Ready(value) if is_followed(&value) => {
                slot.state = SlotState::Held;
                Poll::Ready(value)
            }
            SlotState::Ready(value) => {
                self.free.push(key.slot);
                Poll::Ready(value)
            }
            state => {
                slot.state = state;
                Poll::Pending
            }
        }
    }

    /// Frees a slot whose call or stream has ended without its reply: what still arrives for it matches nothing. No
    /// effect on a free slot. What the slot held is returned, so that it is dropped behind the lock.
    pub(crate) fn close(&mut self, key: SlotKey) -> Option<ClosedSlot<T, S>> {
        let slot = self.current(key)?;
        let (state, order) = (
            std::mem::replace(&mut slot.state, SlotState::Free),
            slot.order,
        );
        self.free
            .extend((!matches!(state, SlotState::Free)).then_some(key.slot));
        Some(ClosedSlot { state, order })
    }

    /// Ends every wait with a value; returns the wakers to call, and the receivers of all streams.
    ///
    /// Keys stay valid, so that each call takes its value out. A reply that arrives all the same finds the
    /// value in its place. Streams keep their slots until they are closed.
    pub(crate) fn fail_all(&mut self, mut value: impl FnMut() -> T) -> (Vec<Waker>, Vec<S>) {
        let mut wakers = Vec::new();
        let mut sinks = Vec::new();
        for slot in &mut self.slots {
            match &mut slot.state {
                SlotState::Waiting { waker, .. } => {
                    wakers.extend(waker.take());
                    slot.state = SlotState::Ready(value());
                }
                SlotState::Stream { sink, .. } => {
                    sinks.push(sink.clone());
                    slot.state.end_opening();
                }
                SlotState::Free | SlotState::Ready(_) | SlotState::Held => {}
            }
        }
        (wakers, sinks)
    }

    /// Returns the requests that wait for a reply, or for the acceptance of their stream.
    pub(crate) fn requests(&self) -> impl Iterator<Item = WaitingRequest<'_>> {
        (0..).zip(&self.slots).filter_map(|(slot, used)| {
            let (nonce, order) = (used.nonce, used.order);
            Some(WaitingRequest {
                destination: used.state.request()?,
                key: SlotKey { slot, nonce },
                order,
            })
        })
    }

    /// Returns the streams that are accepted and know where their frames go, and these subjects.
    pub(crate) fn open_streams(&self) -> impl Iterator<Item = (&Subject, &S)> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            SlotState::Stream {
                sink,
                destination,
                is_opening: false,
            } if *destination != NOWHERE => Some((destination, sink)),
            _ => None,
        })
    }

    /// Returns the slot of a key, unless it is in use by a later call.
    #[inline]
    fn current(&mut self, key: SlotKey) -> Option<&mut Slot<T, S>> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|slot| slot.nonce == key.nonce)
    }

    /// Takes a free slot, or a new one, and puts it to a new use.
    #[inline]
    fn take_free(&mut self, state: SlotState<T, S>) -> SlotKey {
        let nonce = self.nonces.next_u64();
        let used = Slot {
            nonce,
            order: None,
            was_sent: false,
            state,
        };
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = used;
            return SlotKey { slot, nonce };
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(used);
        SlotKey { slot, nonce }
    }

    /// Returns the subject of a call's reply, as a slice of the shared buffer.
    #[inline]
    fn subject(&mut self, key: SlotKey) -> Subject {
        let length = subject::reply_len(&self.inbox);
        if self.chunk.capacity() < length {
            self.chunk.reserve(CHUNK_LEN.max(length));
        }
        subject::reply(&mut self.chunk, &self.inbox, key.slot, key.nonce)
    }

    /// Returns the subject of a stream in memory of its own: a stream may live for days, and a slice would keep the
    /// whole buffer.
    fn own_subject(&self, key: SlotKey) -> Subject {
        let mut buffer = BytesMut::with_capacity(subject::reply_len(&self.inbox));
        subject::reply(&mut buffer, &self.inbox, key.slot, key.nonce)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
