//! Reads bytes as steps on the table of reply slots and compares the table with a model: a reply reaches
//! its own call or none, also if it is sent twice, late or forged. The fuzz target and `tests/fuzz_corpus.rs`
//! share it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use async_nats::Subject;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

/// The table is private to micro-runtime, so it is compiled in. It uses only `slot` beside it and
/// `crate::wire::subject`, which the crate root declares.
#[path = "../../../micro-runtime/src/bus/mux/table.rs"]
#[expect(
    dead_code,
    reason = "slots of streams have no replies of their own, and the link knows what is confirmed"
)]
mod table;

use table::{DeliveryOutcome, SlotTable};

use crate::slot::SlotKey;

/// Result of all waiting calls when they fail together. Calls are numbered from 0 and never reach it.
const FAILED: u64 = u64::MAX;
/// Payload of a message that is not the reply of a waiting call.
const STRAY: u64 = u64::MAX - 1;
/// Upper bound of the calls in a small burst.
const SMALL_BURST: u8 = 48;
/// Number of calls in a large burst; their subjects fill several buffers of the table.
const LARGE_BURST: usize = 1100;
/// Maximum number of large bursts in a run, since each takes long.
const LARGE_BURSTS: u32 = 3;
/// Number of subjects that calls go to.
const DESTINATIONS: u64 = 4;

/// Cases that a run reached, as in "late".
pub(crate) type Reached = BTreeSet<&'static str>;

/// The table, and the expected state of every call on it.
struct Model {
    table: SlotTable<u64, ()>,
    open: Vec<Call>,
    /// Last tokens of the subjects of calls that have ended.
    ended: Vec<String>,
    /// Last tokens of all subjects so far: none may come twice.
    used: BTreeSet<String>,
    most_open: usize,
    large_bursts: u32,
    next: u64,
    reached: Reached,
}

/// A call that has not ended.
struct Call {
    number: u64,
    key: SlotKey,
    token: String,
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
            table: SlotTable::new("i", ChaCha8Rng::seed_from_u64(0)),
            open: Vec::new(),
            ended: Vec::new(),
            used: BTreeSet::new(),
            most_open: 0,
            large_bursts: 0,
            next: 0,
            reached: Reached::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=3 => self.open(),
            4 => self.forge(input),
            5..=7 => self.on_open(input, Self::deliver),
            8 => self.deliver_late(input.position()),
            9..=11 => self.on_open(input, Self::poll),
            12 => self.on_open(input, Self::close),
            13 => self.stray(input),
            14 if self.next.is_multiple_of(2) => self.fail_all(),
            14 => self.refuse(self.next % DESTINATIONS),
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

    fn open(&mut self) {
        let (key, subject) = self.table.reserve(destination(self.next));
        let token = subject.strip_prefix("i.").unwrap_or_default().to_owned();
        assert_eq!(
            SlotKey::parse(&token),
            Some(key),
            "{subject} names its own slot"
        );
        assert!(self.used.insert(token.clone()), "{subject} is used again");
        assert!(self.table.mark_sent(key), "it waits for its reply");
        self.reach("opened");
        self.open.push(Call {
            number: self.next,
            key,
            token,
            wakes: Arc::default(),
            is_watched: false,
            value: None,
        });
        self.next += 1;
        self.most_open = self.most_open.max(self.open.len());
        assert_eq!(self.table.in_use(), self.open.len());
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
            (DeliveryOutcome::Unmatched, Some(_)) => self.reach("second reply"),
            (delivery, value) => panic!("{delivery:?} for a call that has {value:?}"),
        }
    }

    /// Delivers a reply to a call that has ended. Its slot may be in use by another call.
    fn deliver_late(&mut self, at: usize) {
        if self.ended.is_empty() {
            return;
        }
        let token = self.ended[at % self.ended.len()].clone();
        self.deliver_unmatched(&token);
        self.reach("late");
    }

    /// Delivers a message under the subject of an open call with another digit at one place.
    fn forge(&mut self, input: &mut Input<'_>) {
        let (at, place) = (input.position(), input.position());
        if self.open.is_empty() {
            return;
        }
        let mut token = self.open[at % self.open.len()].token.clone();
        let place = place % token.len();
        let digit = if &token[place..=place] == "A" {
            "B"
        } else {
            "A"
        };
        token.replace_range(place..=place, digit);
        if self.open.iter().all(|call| call.token != token) {
            self.deliver_unmatched(&token);
            self.reach("forged");
        }
    }

    fn deliver_unmatched(&mut self, token: &str) {
        let key = SlotKey::parse(token).unwrap_or_else(|| panic!("{token:?} is no token"));
        let delivery = self.table.deliver(key, STRAY);
        assert!(
            matches!(delivery, DeliveryOutcome::Unmatched),
            "{delivery:?} under {token:?}, which no open call has"
        );
    }

    fn poll(&mut self, at: usize) {
        let call = &mut self.open[at];
        let waker = Waker::from(Arc::clone(&call.wakes));
        match (self.table.poll(call.key, &waker, |_| false), call.value) {
            (Poll::Ready(value), Some(expected)) => {
                assert_eq!(value, expected, "call {} has its own reply", call.number);
                self.reach(if value == FAILED { "failed" } else { "replied" });
                self.end(at);
            }
            (Poll::Pending, None) => call.is_watched = true,
            (polled, expected) => panic!("{polled:?} where {expected:?} was expected"),
        }
    }

    fn close(&mut self, at: usize) {
        drop(self.table.close(self.open[at].key));
        self.reach("closed");
        self.end(at);
    }

    fn end(&mut self, at: usize) {
        self.ended.push(self.open.swap_remove(at).token);
    }

    /// Delivers a message to an arbitrary subject.
    fn stray(&mut self, input: &mut Input<'_>) {
        let token = input.text();
        let is_open = self.open.iter().any(|call| call.token == token);
        if SlotKey::parse(&token).is_some() && !is_open {
            self.deliver_unmatched(&token);
        }
        self.reach("stray");
    }

    fn fail_all(&mut self) {
        let waiting = self.open.iter().filter(|call| call.value.is_none());
        let watched = waiting.filter(|call| call.is_watched).count();
        let (wakers, _) = self.table.fail_all(|| FAILED);
        assert_eq!(wakers.len(), watched, "each call that waits is woken");
        wakers.into_iter().for_each(Waker::wake);
        for call in &mut self.open {
            if call.value.is_none() {
                call.value = Some(FAILED);
                call.check_wakes();
            }
        }
    }

    /// Refuses the last request to one subject: its call fails, and no other.
    fn refuse(&mut self, number: u64) {
        let refused = destination(number);
        let requests = self.table.requests();
        let to_it = requests.filter(|request| *request.destination == refused);
        let last = to_it.max_by_key(|request| request.order);
        let last = last.map(|request| request.key);
        let waiting = self.open.iter_mut().filter(|call| call.value.is_none());
        let expected = waiting
            .filter(|call| destination(call.number) == refused)
            .max_by_key(|call| call.number);
        assert_eq!(last, expected.as_ref().map(|call| call.key));
        let (Some(key), Some(call)) = (last, expected) else {
            return;
        };
        match self.table.deliver(key, FAILED) {
            DeliveryOutcome::Woken(waker) => {
                assert_eq!(waker.is_some(), call.is_watched, "it is woken");
                waker.into_iter().for_each(Waker::wake);
            }
            outcome => panic!("{outcome:?}"),
        }
        call.value = Some(FAILED);
        call.check_wakes();
        self.reach("refused");
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
            self.open();
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

/// Returns the subject that the call with this number goes to.
fn destination(number: u64) -> Subject {
    Subject::from(format!("d.{}", number % DESTINATIONS))
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

    /// A text of at most 16 bytes, any characters.
    fn text(&mut self) -> String {
        let length = self.byte() % 17;
        let letters = (0..length).map(|_| char::from(self.byte()));
        letters.collect()
    }
}
