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
//! - **A subject is used once.** Each use of a slot draws a new nonce, so a second reply, a late one and one of
//!   an earlier connection name a use that has ended. They cannot be told from each other, and need not be:
//!   all of them are dropped ([`DeliveryOutcome::Unmatched`]).
//! - **A subject cannot be guessed.** The nonce has 64 bits from ChaCha8, which is seeded by the operating
//!   system: a peer that was called, and so knows subjects of the same slots, cannot compute another one. It
//!   would have to try 2⁶³ messages on average while the call waits.
//! - **The number of slots follows the calls in flight**, not the calls made. The memory of the table stays at
//!   its peak.
//!
//! A subject costs no allocation: its text is a slice of a buffer that many share ([`CHUNK_LEN`]).

use std::task::{Poll, Waker};

use async_nats::Subject;
use bytes::BytesMut;
use rand::Rng as _;
use rand::rngs::ChaCha8Rng;

use crate::wire::subject;

/// Length in bytes of the buffer that reply subjects are cut from. A buffer lives until the last of its
/// subjects is dropped, so a longer one would let one slow call keep more memory; a shorter one is allocated
/// more often (one allocation for about 80 calls).
const CHUNK_LEN: usize = 4096;

/// The reply slots of one connection. `T` is the result of a call's wait, `S` the receiver of a stream's frames.
///
/// Nothing here calls a waker or a receiver: methods return them, so that the owner of the lock around the table
/// releases it first.
#[derive(Debug)]
pub(crate) struct SlotTable<T, S> {
    inbox: Box<str>,
    slots: Vec<Slot<T, S>>,
    /// Free slots; the last freed is used first, since its memory is in the processor's cache.
    free: Vec<u32>,
    nonces: ChaCha8Rng,
    chunk: BytesMut,
}

/// One use of one slot: what a reply subject ends in. The key of an earlier use finds no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey {
    slot: u32,
    nonce: u64,
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

#[derive(Debug)]
struct Slot<T, S> {
    /// Nonce of the current use; of the last one while the slot is free.
    nonce: u64,
    state: State<T, S>,
}

/// State of one slot; the module's documentation shows the transitions.
#[derive(Debug)]
enum State<T, S> {
    Free,
    /// The call waits for its reply, and was polled if there is a waker.
    Waiting(Option<Waker>),
    /// The reply has arrived and was not taken out yet.
    Ready(T),
    /// The reply was taken out and continues as a stream, to which no receiver is attached yet. Nothing can
    /// arrive rightly meanwhile: the server sends no frame before it has a grant from the receiver.
    Held,
    /// Every message goes to the receiver, until the slot is closed.
    Stream(S),
}

impl SlotKey {
    /// Parses the last token of a reply subject; `None` for a token that no table makes.
    #[inline]
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let (slot, nonce) = subject::parse_reply_token(token)?;
        Some(Self { slot, nonce })
    }
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
            chunk: BytesMut::new(),
        }
    }

    /// Reserves a slot for a call, and returns the subject for its reply, which no other call has before or
    /// after. Close the slot unless its reply was taken out.
    pub(crate) fn reserve(&mut self) -> (SlotKey, Subject) {
        let key = self.take_free(State::Waiting(None));
        (key, self.subject(key))
    }

    /// Returns whether the call of this key still waits for its reply.
    pub(crate) fn is_waiting(&self, key: SlotKey) -> bool {
        self.slots
            .get(key.slot as usize)
            .is_some_and(|slot| slot.nonce == key.nonce && matches!(slot.state, State::Waiting(_)))
    }

    /// Returns the number of slots that calls and streams have reserved and not freed.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Reserves a slot for a stream: every message under its subject goes to `sink` until the slot is closed.
    pub(crate) fn reserve_for_stream(&mut self, sink: S) -> (SlotKey, Subject) {
        let key = self.take_free(State::Stream(sink));
        (key, self.own_subject(key))
    }

    /// Attaches a stream to a slot whose reply continues as one, and returns its subject; `None` in any other
    /// state.
    pub(crate) fn attach_stream(&mut self, key: SlotKey, sink: S) -> Option<Subject> {
        let slot = self.current(key)?;
        match slot.state {
            State::Held => {
                slot.state = State::Stream(sink);
                Some(self.own_subject(key))
            }
            _ => None,
        }
    }

    /// Delivers a message to the slot that its subject names. Never fails: a message that no call waits for
    /// is dropped.
    #[inline]
    pub(crate) fn deliver(&mut self, key: SlotKey, value: T) -> DeliveryOutcome<T, S> {
        let Some(slot) = self.current(key) else {
            return DeliveryOutcome::Unmatched;
        };
        match &mut slot.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                slot.state = State::Ready(value);
                DeliveryOutcome::Woken(waker)
            }
            State::Stream(sink) => DeliveryOutcome::Stream(sink.clone(), value),
            State::Ready(_) | State::Held | State::Free => DeliveryOutcome::Unmatched,
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
        match std::mem::replace(&mut slot.state, State::Free) {
            State::Ready(value) if is_followed(&value) => {
                slot.state = State::Held;
                Poll::Ready(value)
            }
            State::Ready(value) => {
                self.free.push(key.slot);
                Poll::Ready(value)
            }
            State::Waiting(known) => {
                let known = match known {
                    Some(known) if known.will_wake(waker) => known,
                    _ => waker.clone(),
                };
                slot.state = State::Waiting(Some(known));
                Poll::Pending
            }
            state => {
                slot.state = state;
                Poll::Pending
            }
        }
    }

    /// Frees a slot whose call or stream has ended without its reply: messages that still arrive for it match
    /// nothing. No effect on a slot that is free, or for the key of an earlier use.
    pub(crate) fn close(&mut self, key: SlotKey) {
        if let Some(slot) = self.current(key)
            && !matches!(slot.state, State::Free)
        {
            slot.state = State::Free;
            self.free.push(key.slot);
        }
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
                State::Waiting(waker) => {
                    wakers.extend(waker.take());
                    slot.state = State::Ready(value());
                }
                State::Stream(sink) => sinks.push(sink.clone()),
                State::Free | State::Ready(_) | State::Held => {}
            }
        }
        (wakers, sinks)
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
    fn take_free(&mut self, state: State<T, S>) -> SlotKey {
        let nonce = self.nonces.next_u64();
        let used = Slot { nonce, state };
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

    /// Returns the subject of a stream in memory of its own: a stream may live for days, and a slice would
    /// keep the whole buffer.
    fn own_subject(&self, key: SlotKey) -> Subject {
        let mut buffer = BytesMut::with_capacity(subject::reply_len(&self.inbox));
        subject::reply(&mut buffer, &self.inbox, key.slot, key.nonce)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
