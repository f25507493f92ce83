//! `SlotTable`: which call waits under which reply subject. Pure: values and wakers in, values and wakers out.
//!
//! A reply subject is `<inbox>.<slot>-<generation>`, both in hexadecimal (docs/PROTOCOL.md, "Golden bytes").
//! One rule governs everything here: **a reply must reach the call that its subject was made for, or no call.**
//!
//! ```text
//!        reserve            deliver           poll
//! Free ──────────▶ Waiting ─────────▶ Ready ──────────▶ Free      same subject: exactly one reply arrived
//!                     │                 │ poll, and the reply continues as a stream
//!                     │                 ▼   attach_stream
//!                     │               Held ─────────────▶ Stream
//!                     │ close           │ close             │ close
//!                     └─────────────────┴───────────────────┴───▶ Free      new generation, so new subject
//! ```
//!
//! - **A subject is used again only after exactly one reply.** Using it again is worth it: nats-server caches
//!   the routing of about 1,000 subjects, and the subject's text need not be built. A call that ends without its
//!   reply (timeout, drop, lost connection) may still get one, so its slot takes a new generation: the late
//!   reply then names a generation that no longer exists.
//! - **A free slot is not used again at once**: [`MIN_FREE_BEFORE_REUSE`] others are free first, and slots are
//!   taken in the order in which they became free. A second reply, from a responder that replies twice or from a
//!   second responder, so finds the slot free, is recognized, and changes its subject.
//! - **That is a delay, not a proof.** A second reply that arrives after the subject is in use again is
//!   delivered to the wrong call. Where several responders are possible, callers reserve a unique subject.
//! - **The number of slots follows the calls in flight**, not the calls made; slots of a burst give up their
//!   subjects ([`MAX_WARM_SLOTS`]), and the memory of the table stays at its peak number of slots.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use async_nats::Subject;

use crate::wire::subject;

/// Number of free slots that are kept before one is used again, so that a second reply arrives while its slot is
/// free and is detected there. A larger number costs hits in nats-server's caches.
const MIN_FREE_BEFORE_REUSE: usize = 32;
/// Maximum number of free slots that keep their subject. More would not pay: nats-server's caches hold 512
/// subjects for each connection and 1,024 for each account.
const MAX_WARM_SLOTS: usize = 1024;

/// The reply slots of one connection. `T` is the result of a call's wait, `S` the receiver of a stream's frames.
///
/// Nothing here calls a waker or a receiver: methods return them, so that the owner of the lock around the table
/// releases it first.
#[derive(Debug)]
pub(crate) struct SlotTable<T, S> {
    inbox: String,
    slots: Vec<Slot<T, S>>,
    /// Free slots that keep their subject, the longest free first.
    free: VecDeque<u32>,
    /// Free slots without a subject; used when `free` has none to spare.
    retired: Vec<u32>,
}

/// One use of one slot: what a reply subject ends in. A stale key (of an earlier generation) finds no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey {
    slot: u32,
    generation: u32,
}

/// Outcome of delivering a message to a slot.
#[derive(Debug)]
pub(crate) enum DeliveryOutcome<T, S> {
    /// The call has its reply; the caller of `deliver` must wake this waker.
    Woken(Option<Waker>),
    /// The slot belongs to a stream; the caller of `deliver` must hand the message to its receiver.
    Stream(S, T),
    /// No call waits under this subject any more, or none ever did. The message is dropped.
    Late,
    /// The slot is free after its one reply. The message is dropped, and the slot's subject changed, since
    /// its responder may send more.
    Repeated,
}

#[derive(Debug)]
struct Slot<T, S> {
    /// Raised whenever the subject changes. It wraps after 2³² changes of one slot; by
    /// then no message under the first of them is on its way any more.
    generation: u32,
    /// `None` before the first use, after a change, and after [`SlotTable::fail_all`].
    subject: Option<Subject>,
    /// The reply of the current use is the last that its subject is used for.
    is_unique: bool,
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
    /// The reply was taken out and continues as a stream, to which no receiver is attached yet. Messages that
    /// arrive now are late: the server sends none before it has a grant from the receiver.
    Held,
    /// Every message goes to the receiver, until the slot is closed.
    Stream(S),
}

impl SlotKey {
    /// Parses the last token of a reply subject; `None` for a token that this table cannot have made.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let (slot, generation) = subject::parse_reply_token(token)?;
        Some(Self { slot, generation })
    }
}

impl<T, S: Clone> SlotTable<T, S> {
    /// Returns an empty table whose subjects begin with the tokens of `inbox`.
    pub(crate) fn new(inbox: impl Into<String>) -> Self {
        Self {
            inbox: inbox.into(),
            slots: Vec::new(),
            free: VecDeque::new(),
            retired: Vec::new(),
        }
    }

    /// Reserves a slot for a call, and returns the subject for its reply. Close the slot unless its reply was
    /// taken out.
    ///
    /// A unique subject was used by no earlier call, and will be used by no later one: a call to which several
    /// responders may reply needs one, or their further replies would reach another call.
    pub(crate) fn reserve(&mut self, is_unique: bool) -> (SlotKey, Subject) {
        let index = self.take_free();
        let inbox = &self.inbox;
        let slot = &mut self.slots[index as usize];
        if is_unique && slot.subject.is_some() {
            // A responder of an earlier call knows this subject.
            slot.change_subject();
        }
        slot.state = State::Waiting(None);
        slot.is_unique = is_unique;
        let generation = slot.generation;
        let subject = slot
            .subject
            .get_or_insert_with(|| subject::reply(inbox, index, generation))
            .clone();
        let key = SlotKey {
            slot: index,
            generation,
        };
        (key, subject)
    }

    /// Returns whether the call of this key still waits for its reply.
    pub(crate) fn is_waiting(&self, key: SlotKey) -> bool {
        self.slots.get(key.slot as usize).is_some_and(|slot| {
            slot.generation == key.generation && matches!(slot.state, State::Waiting(_))
        })
    }

    /// Returns the number of slots that calls and streams have reserved and not freed.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.len() - self.free.len() - self.retired.len()
    }

    /// Reserves a slot for a stream: every message under its subject goes to `sink` until the slot is closed.
    /// The subject is unique, since frames of an ended stream may still be on their way.
    pub(crate) fn reserve_for_stream(&mut self, sink: S) -> (SlotKey, Subject) {
        let (key, subject) = self.reserve(true);
        if let Some(slot) = self.current(key) {
            slot.state = State::Stream(sink);
        }
        (key, subject)
    }

    /// Attaches a stream to a slot whose reply continues as one, and returns its subject; `None` in any other
    /// state.
    pub(crate) fn attach_stream(&mut self, key: SlotKey, sink: S) -> Option<Subject> {
        let slot = self.current(key)?;
        match slot.state {
            State::Held => {
                slot.state = State::Stream(sink);
                slot.subject.clone()
            }
            _ => None,
        }
    }

    /// Delivers a message to the slot that its subject names. Never fails: a message that no call waits for
    /// is dropped, and the outcome states why.
    pub(crate) fn deliver(&mut self, key: SlotKey, value: T) -> DeliveryOutcome<T, S> {
        let Some(slot) = self.current(key) else {
            return DeliveryOutcome::Late;
        };
        match &mut slot.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                slot.state = State::Ready(value);
                DeliveryOutcome::Woken(waker)
            }
            State::Stream(sink) => DeliveryOutcome::Stream(sink.clone(), value),
            State::Ready(_) | State::Held => DeliveryOutcome::Late,
            State::Free => {
                slot.change_subject();
                DeliveryOutcome::Repeated
            }
        }
    }

    /// Takes the reply out and frees the slot, or registers the waker.
    ///
    /// If `is_followed` holds for the reply, the slot is held for [`attach_stream`](Self::attach_stream)
    /// instead. Pending for ever once the reply was taken out, and for a stale key.
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
                if slot.is_unique {
                    slot.change_subject();
                }
                self.release(key.slot);
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

    /// Frees a slot whose call or stream has ended without its reply, and changes its subject: messages that
    /// still arrive for it are late. No effect on a slot that is free, or for a stale key.
    pub(crate) fn close(&mut self, key: SlotKey) {
        let Some(slot) = self.current(key) else {
            return;
        };
        if !matches!(slot.state, State::Free) {
            slot.change_subject();
            self.release(key.slot);
        }
    }

    /// Ends every wait with a value; returns the wakers to call, and the receivers of all streams.
    ///
    /// Keys stay valid, so that each call takes its value out. Streams keep their slots until they are closed.
    pub(crate) fn fail_all(&mut self, mut value: impl FnMut() -> T) -> (Vec<Waker>, Vec<S>) {
        let mut wakers = Vec::new();
        let mut sinks = Vec::new();
        for slot in &mut self.slots {
            match &mut slot.state {
                State::Waiting(waker) => {
                    wakers.extend(waker.take());
                    slot.state = State::Ready(value());
                    // The reply may arrive once the connection is restored. Freeing the slot then raises the
                    // generation, see `release`.
                    slot.subject = None;
                }
                State::Stream(sink) => sinks.push(sink.clone()),
                State::Free | State::Ready(_) | State::Held => {}
            }
        }
        (wakers, sinks)
    }

    /// Returns the slot of a key, unless it is in use by a later call or free under another subject.
    fn current(&mut self, key: SlotKey) -> Option<&mut Slot<T, S>> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|slot| slot.generation == key.generation)
    }

    /// Takes the slot that has been free for longest, if enough others are free; else one without a subject; else
    /// a new one.
    fn take_free(&mut self) -> u32 {
        if self.free.len() > MIN_FREE_BEFORE_REUSE
            && let Some(index) = self.free.pop_front()
        {
            return index;
        }
        if let Some(index) = self.retired.pop() {
            return index;
        }
        let index = self.slots.len();
        self.slots.push(Slot {
            generation: 0,
            subject: None,
            is_unique: false,
            state: State::Free,
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Frees a slot. With [`MAX_WARM_SLOTS`] free slots already, it gives up its subject.
    fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.state = State::Free;
        if slot.subject.is_none() {
            // `fail_all` removed the subject, whose reply may still be on its way.
            slot.generation = slot.generation.wrapping_add(1);
        }
        if self.free.len() < MAX_WARM_SLOTS {
            self.free.push_back(index);
        } else {
            slot.change_subject();
            self.retired.push(index);
        }
    }
}

impl<T, S> Slot<T, S> {
    /// Frees the slot under a new generation: messages under the old subject find no call.
    fn change_subject(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.subject = None;
        self.state = State::Free;
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
