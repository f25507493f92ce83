//! Reads bytes as steps on the table of reply slots and compares the table with a model: a reply reaches
//! its own call or none. The fuzz target and `tests/fuzz_corpus.rs` share it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

/// The table is private to micro-runtime, so it is compiled in. It uses only `crate::wire::subject`, which
/// the crate root declares.
#[path = "../../../micro-runtime/src/bus/mux/table.rs"]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "slots of streams have no replies of their own")
)]
mod table;

use table::{DeliveryOutcome, SlotKey, SlotTable};

/// Result of all waiting calls when they fail together. Calls are numbered from 0 and never reach it.
const FAILED: u64 = u64::MAX;
/// Payload of a message that is not the reply of a waiting call.
const STRAY: u64 = u64::MAX - 1;
/// Number of free slots that the table keeps before it uses one again, as it documents.
const MIN_FREE_BEFORE_REUSE: usize = 32;
/// Upper bound of the calls in a small burst. It exceeds `MIN_FREE_BEFORE_REUSE`, so that slots are used again.
const SMALL_BURST: u8 = 48;
/// Number of calls in a large burst, which frees more slots than the table keeps.
const LARGE_BURST: usize = 1100;
/// Maximum number of large bursts in a run, since each takes long.
const LARGE_BURSTS: u32 = 3;

/// Cases that a run reached, as in "late".
pub(crate) type Reached = BTreeSet<&'static str>;

/// The table, and the expected state of every call on it.
struct Model {
    table: SlotTable<u64, ()>,
    open: Vec<Call>,
    /// Names of the open calls.
    in_use: BTreeSet<SlotName>,
    /// Names of calls that have ended.
    ended: Vec<SlotName>,
    /// All names so far.
    used: BTreeSet<SlotName>,
    /// Names that must not be used again, since a late reply may still arrive.
    spent: BTreeSet<SlotName>,
    most_open: usize,
    large_bursts: u32,
    next: u64,
    reached: Reached,
}

/// The slot and the generation that a subject ends in: one name for one subject.
type SlotName = (u32, u32);

/// A call that has not ended.
struct Call {
    number: u64,
    key: SlotKey,
    name: SlotName,
    is_unique: bool,
    wakes: Arc<Wakes>,
    is_watched: bool,
    /// The result that the table stores for it.
    value: Option<u64>,
}

/// Counts how often a call was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

/// Bytes that are read one by one; there is a 0 after the end.
struct Input<'a>(&'a [u8]);

/// Runs the steps that `bytes` encode.
///
/// # Panics
///
/// Panics if the table differs from the model.
pub(crate) fn run(bytes: &[u8]) -> Reached {
    let mut input = Input(bytes);
    let mut model = Model::new();
    while !input.0.is_empty() {
        model.step(&mut input);
    }
    model.finish();
    model.reached
}

impl Model {
    fn new() -> Self {
        Self {
            table: SlotTable::new("i"),
            open: Vec::new(),
            in_use: BTreeSet::new(),
            ended: Vec::new(),
            used: BTreeSet::new(),
            spent: BTreeSet::new(),
            most_open: 0,
            large_bursts: 0,
            next: 0,
            reached: Reached::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=3 => self.open(false),
            4 => self.open(true),
            5..=7 => self.on_open(input, Self::deliver),
            8 => self.deliver_old(input.position()),
            9..=11 => self.on_open(input, Self::poll),
            12 => self.on_open(input, Self::close),
            13 => self.stray(input),
            14 => self.fail_all(),
            _ => self.burst(input.byte()),
        }
    }

    /// Delivers a reply to every open call.
    fn finish(&mut self) {
        while let Some(at) = self.open.len().checked_sub(1) {
            self.deliver(at);
            self.poll(at);
        }
        let (late, _) = self.table.fail_all(|| STRAY);
        assert!(late.is_empty(), "no call waits after the end");
        assert_eq!(self.table.in_use(), 0, "every slot is free again");
    }

    fn open(&mut self, is_unique: bool) {
        let (key, subject) = self.table.reserve(is_unique);
        let name = subject.strip_prefix("i.").and_then(name_of);
        let name = name.unwrap_or_else(|| panic!("{subject} is no subject of the table"));
        assert_eq!(key_of(name), key, "{subject} names its own slot");
        assert!(self.in_use.insert(name), "{subject} is in use");
        assert!(
            !self.spent.contains(&name),
            "{subject} must not be used again"
        );
        let is_new = self.used.insert(name);
        self.reach(if is_new { "opened" } else { "used again" });
        self.open.push(Call {
            number: self.next,
            key,
            name,
            is_unique,
            wakes: Arc::default(),
            is_watched: false,
            value: None,
        });
        self.next += 1;
        self.most_open = self.most_open.max(self.open.len());
        // A table whose slots are never used again would grow with every call.
        assert!(
            (name.0 as usize) < self.most_open + MIN_FREE_BEFORE_REUSE,
            "{subject} where at most {} calls were open",
            self.most_open
        );
    }

    /// Delivers the reply of a call, or a second one.
    fn deliver(&mut self, at: usize) {
        let call = &mut self.open[at];
        let delivery = self.table.deliver(call.key, call.number);
        match (delivery, call.value) {
            (DeliveryOutcome::Woken(waker), None) => {
                call.value = Some(call.number);
                call.check_waker(waker);
                self.reach("woken");
            }
            (DeliveryOutcome::Late, Some(_)) => self.reach("late"),
            (delivery, value) => panic!("{delivery:?} for a call that has {value:?}"),
        }
    }

    /// Delivers a reply to a call that has ended. If its subject is in use again, the table cannot
    /// distinguish that reply from the one of the new call; unique subjects prevent it.
    fn deliver_old(&mut self, at: usize) {
        if self.ended.is_empty() {
            return;
        }
        let name = self.ended[at % self.ended.len()];
        if self.in_use.contains(&name) {
            return;
        }
        match self.table.deliver(key_of(name), STRAY) {
            DeliveryOutcome::Woken(_) | DeliveryOutcome::Stream(..) => {
                panic!("{name:?} is no open call's")
            }
            DeliveryOutcome::Late => self.reach("late"),
            DeliveryOutcome::Repeated => {
                self.reach("repeated");
                assert!(self.spent.insert(name), "its subject has been changed");
            }
        }
    }

    fn poll(&mut self, at: usize) {
        let call = &mut self.open[at];
        let waker = Waker::from(Arc::clone(&call.wakes));
        match (self.table.poll(call.key, &waker, |_| false), call.value) {
            (Poll::Ready(value), Some(expected)) => {
                assert_eq!(value, expected, "call {} has its own reply", call.number);
                let has_failed = value == FAILED;
                let is_spent = has_failed || call.is_unique;
                self.reach(if has_failed { "failed" } else { "replied" });
                self.end(at, is_spent);
            }
            (Poll::Pending, None) => call.is_watched = true,
            (polled, expected) => panic!("{polled:?} where {expected:?} was expected"),
        }
    }

    fn close(&mut self, at: usize) {
        self.table.close(self.open[at].key);
        self.reach("closed");
        self.end(at, true);
    }

    fn end(&mut self, at: usize, is_spent: bool) {
        let call = self.open.swap_remove(at);
        self.in_use.remove(&call.name);
        if is_spent {
            self.spent.insert(call.name);
        }
        self.ended.push(call.name);
    }

    /// Delivers a message to an arbitrary subject.
    fn stray(&mut self, input: &mut Input<'_>) {
        let token = input.text();
        let name = name_of(&token);
        assert_eq!(SlotKey::parse(&token), name.map(key_of), "{token:?}");
        let Some(name) = name else { return };
        if let Some(at) = self.open.iter().position(|call| call.name == name) {
            return self.deliver(at);
        }
        self.reach("stray");
        match self.table.deliver(key_of(name), STRAY) {
            DeliveryOutcome::Woken(_) | DeliveryOutcome::Stream(..) => {
                panic!("{token} is no open call's")
            }
            DeliveryOutcome::Late => {}
            DeliveryOutcome::Repeated => {
                assert!(self.spent.insert(name), "{token} has been changed");
            }
        }
    }

    fn fail_all(&mut self) {
        let waiting = self.open.iter().filter(|call| call.value.is_none());
        let watched = waiting.filter(|call| call.is_watched).count();
        let (wakers, _) = self.table.fail_all(|| FAILED);
        assert_eq!(wakers.len(), watched, "whoever waits is woken");
        wakers.into_iter().for_each(Waker::wake);
        for call in &mut self.open {
            if call.value.is_none() {
                call.value = Some(FAILED);
                call.check_wakes();
            }
        }
    }

    /// Opens many calls, then ends each of them.
    fn burst(&mut self, size: u8) {
        let before = self.open.len();
        let size = match size {
            u8::MAX if self.large_bursts < LARGE_BURSTS => {
                self.large_bursts += 1;
                LARGE_BURST
            }
            size => usize::from(size % SMALL_BURST),
        };
        for _ in 0..size {
            self.open(false);
        }
        while self.open.len() > before {
            let at = self.open.len() - 1;
            self.deliver(at);
            self.poll(at);
        }
    }

    fn on_open(&mut self, input: &mut Input<'_>, step: fn(&mut Self, usize)) {
        let at = input.position();
        if !self.open.is_empty() {
            step(self, at % self.open.len());
        }
    }

    fn reach(&mut self, what: &'static str) {
        self.reached.insert(what);
    }
}

impl Call {
    fn check_waker(&self, waker: Option<Waker>) {
        assert_eq!(waker.is_some(), self.is_watched, "call {}", self.number);
        waker.into_iter().for_each(Waker::wake);
        self.check_wakes();
    }

    /// A call ends once, so its waker is called once.
    fn check_wakes(&self) {
        let wakes = self.wakes.0.load(Ordering::Relaxed);
        assert_eq!(wakes, usize::from(self.is_watched), "call {}", self.number);
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads the last token of a subject.
fn name_of(token: &str) -> Option<SlotName> {
    let (slot, generation) = token.split_once('-')?;
    let number = |digits| u32::from_str_radix(digits, 16).ok();
    Some((number(slot)?, number(generation)?))
}

fn key_of((slot, generation): SlotName) -> SlotKey {
    let key = SlotKey::parse(&format!("{slot:x}-{generation:x}"));
    key.expect("two numbers in hex are a key")
}

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// An index, before it is reduced to the number of entries.
    fn position(&mut self) -> usize {
        usize::from(self.byte())
    }

    /// A text of at most 15 bytes, any characters.
    fn text(&mut self) -> String {
        let length = self.byte() % 16;
        let letters = (0..length).map(|_| char::from(self.byte()));
        letters.collect()
    }
}
