//! Reply slots: who waits for which reply subject. Pure: values and wakers in, values and wakers out.
//!
//! A slot's subject is used again after exactly one reply, since nats-server caches the subjects
//! that it sees often. A slot that is given up before its reply gets a new generation and so a new
//! subject: what arrives late finds nobody.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::task::{Poll, Waker};

use async_nats::Subject;

/// As many free slots rest before one is used again, so that a second reply from a responder that
/// misbehaves arrives at a slot at rest, and is seen there.
const MIN_FREE_BEFORE_REUSE: usize = 32;
/// Above so many free slots, a slot that is freed gives its subject back.
const MAX_WARM_SLOTS: usize = 1024;

/// The slots of one connection. `T` is what a waiting call is woken with, `S` is who takes all that
/// comes for a stream.
#[derive(Debug)]
pub(crate) struct SlotTable<T, S> {
    inbox: String,
    slots: Vec<Slot<T, S>>,
    free: VecDeque<u32>,
    retired: Vec<u32>,
}

/// One use of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey {
    slot: u32,
    generation: u32,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum DeliveryOutcome<T, S> {
    /// The call has it; wake it.
    Woken(Option<Waker>),
    /// It is for a stream.
    Stream(S, T),
    /// Nobody waits for it any more.
    Late,
    /// The slot had its one reply already; its subject has been changed.
    Repeated,
}

#[derive(Debug)]
struct Slot<T, S> {
    generation: u32,
    subject: Option<Subject>,
    is_unique: bool,
    state: State<T, S>,
}

#[derive(Debug)]
enum State<T, S> {
    Free,
    Waiting(Option<Waker>),
    Ready(T),
    /// The reply says that more is to come, for which nobody has asked yet.
    Held,
    Stream(S),
}

impl SlotKey {
    /// Reads the last token of a reply subject.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let (slot, generation) = token.split_once('-')?;
        Some(Self {
            slot: u32::from_str_radix(slot, 16).ok()?,
            generation: u32::from_str_radix(generation, 16).ok()?,
        })
    }
}

impl<T, S: Clone> SlotTable<T, S> {
    /// Makes a table whose subjects are `<inbox>.<slot>-<generation>`.
    pub(crate) fn new(inbox: impl Into<String>) -> Self {
        Self {
            inbox: inbox.into(),
            slots: Vec::new(),
            free: VecDeque::new(),
            retired: Vec::new(),
        }
    }

    /// Takes a slot, and names the subject that its reply is to go to; a unique one is never used
    /// again.
    pub(crate) fn reserve(&mut self, is_unique: bool) -> (SlotKey, Subject) {
        let index = self.take_free();
        let inbox = &self.inbox;
        let slot = &mut self.slots[index as usize];
        if is_unique && slot.subject.is_some() {
            // Whoever answered an earlier call knows this subject.
            slot.change_subject();
        }
        slot.state = State::Waiting(None);
        slot.is_unique = is_unique;
        let generation = slot.generation;
        let subject = slot
            .subject
            .get_or_insert_with(|| subject(inbox, index, generation))
            .clone();
        let key = SlotKey {
            slot: index,
            generation,
        };
        (key, subject)
    }

    /// Says whether the call of this key waits for its reply.
    pub(crate) fn is_waiting(&self, key: SlotKey) -> bool {
        self.slots.get(key.slot as usize).is_some_and(|slot| {
            slot.generation == key.generation && matches!(slot.state, State::Waiting(_))
        })
    }

    /// How many slots are taken.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.len() - self.free.len() - self.retired.len()
    }

    /// Takes a slot for everything that comes under its subject until it is closed.
    pub(crate) fn reserve_for_stream(&mut self, sink: S) -> (SlotKey, Subject) {
        let (key, subject) = self.reserve(true);
        if let Some(slot) = self.current(key) {
            slot.state = State::Stream(sink);
        }
        (key, subject)
    }

    /// Turns a slot that was held into one for a stream, and names its subject.
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

    /// Hands a reply to whoever waits for it.
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

    /// Takes the reply out, which frees the slot unless the reply is to be followed by more; or
    /// remembers whom to wake.
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

    /// Gives a slot up: whatever still comes for it is late.
    pub(crate) fn close(&mut self, key: SlotKey) {
        let Some(slot) = self.current(key) else {
            return;
        };
        if !matches!(slot.state, State::Free) {
            slot.change_subject();
            self.release(key.slot);
        }
    }

    /// Ends every wait with a value; names whom to wake, and the streams.
    pub(crate) fn fail_all(&mut self, mut value: impl FnMut() -> T) -> (Vec<Waker>, Vec<S>) {
        let mut wakers = Vec::new();
        let mut sinks = Vec::new();
        for slot in &mut self.slots {
            match &mut slot.state {
                State::Waiting(waker) => {
                    wakers.extend(waker.take());
                    slot.state = State::Ready(value());
                    // The reply may still come once the connection is back.
                    slot.subject = None;
                }
                State::Stream(sink) => sinks.push(sink.clone()),
                State::Free | State::Ready(_) | State::Held => {}
            }
        }
        (wakers, sinks)
    }

    fn current(&mut self, key: SlotKey) -> Option<&mut Slot<T, S>> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|slot| slot.generation == key.generation)
    }

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

    fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.state = State::Free;
        if slot.subject.is_none() {
            // `fail_all` took the subject: its reply may be under way.
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
    fn change_subject(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.subject = None;
        self.state = State::Free;
    }
}

fn subject(inbox: &str, slot: u32, generation: u32) -> Subject {
    let mut text = String::with_capacity(inbox.len() + 18);
    text.push_str(inbox);
    let _ = write!(text, ".{slot:x}-{generation:x}");
    Subject::from(text)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
