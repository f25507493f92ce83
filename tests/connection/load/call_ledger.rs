//! `CallLedger`: the times at which each unary call was handed over, run, and ended for its caller.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::load::call_kind::CallKind;

/// Text before the number of a call at the beginning of its data.
const MARK: &[u8] = b"<call ";
/// Number of digits of the number, which `>` follows.
const DIGITS: usize = 12;
/// Time that a request may need from the socket of the caller to the proxy, on a busy machine. A request that is sent
/// after its caller was told comes seconds later: with the next connection, or once the socket takes it.
const ON_ITS_WAY: Duration = Duration::from_millis(50);
/// Bytes that a request has besides its data: headers, subject and reply subject.
const OVERHEAD: usize = 64;

/// The calls that have not succeeded.
#[derive(Default)]
pub(crate) struct CallLedger(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    calls: HashMap<u64, CallRecord>,
    /// Number of handlers that began after their call had its reply.
    repeated: usize,
}

struct CallRecord {
    kind: CallKind,
    deadline: Instant,
    handed_over: Option<Instant>,
    /// Time at which its caller was told that it failed.
    told: Option<Instant>,
    runs: Vec<Run>,
}

/// One run of the handler of a call.
struct Run {
    began: Instant,
    end: Option<RunEnd>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RunEnd {
    Finished,
    Dropped,
}

/// A handler that runs; dropped before [`finish`](Self::finish) if its call is.
pub(crate) struct RunGuard {
    ledger: Arc<CallLedger>,
    number: u64,
    end: RunEnd,
}

/// Late work: of calls whose callers had been told that they failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateRuns {
    /// Requests that were handed over afterwards, by their kind and how much later.
    pub(crate) handed_over_late: Vec<(CallKind, Duration)>,
    /// Number of handlers that began afterwards by kind, and the bytes of their requests.
    pub(crate) began_late: BTreeMap<CallKind, usize>,
    pub(crate) bytes: usize,
    /// Number of those whose call must not run after its deadline, and did.
    pub(crate) expired: usize,
    /// Numbers of those whose handler takes seconds, by their end.
    pub(crate) long_dropped: usize,
    pub(crate) long_finished: usize,
    pub(crate) long_running: usize,
    /// Number of calls that ran twice.
    pub(crate) repeated: usize,
}

impl CallLedger {
    /// Begins a call; returns its number, and its data.
    pub(crate) fn begin(&self, kind: CallKind) -> (u64, Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        let number = state.next;
        state.next += 1;
        let record = CallRecord {
            kind,
            deadline: Instant::now() + kind.timeout(),
            handed_over: None,
            told: None,
            runs: Vec::new(),
        };
        state.calls.insert(number, record);
        let mut data = MARK.to_vec();
        data.extend(format!("{number:0DIGITS$}>").into_bytes());
        data.resize(kind.length(), b' ');
        (number, data)
    }

    /// Notes that the request has left the process of its caller; the last time counts.
    pub(crate) fn hand_over(&self, number: u64) {
        if let Some(call) = self.0.lock().unwrap().calls.get_mut(&number) {
            call.handed_over = Some(Instant::now());
        }
    }

    /// Notes that a handler begins.
    pub(crate) fn run(self: &Arc<Self>, number: u64) -> RunGuard {
        let mut state = self.0.lock().unwrap();
        match state.calls.get_mut(&number) {
            Some(call) => call.runs.push(Run {
                began: Instant::now(),
                end: None,
            }),
            None => state.repeated += 1,
        }
        drop(state);
        RunGuard {
            ledger: Arc::clone(self),
            number,
            end: RunEnd::Dropped,
        }
    }

    /// Notes that a call had its reply, and forgets it.
    pub(crate) fn succeed(&self, number: u64) {
        let mut state = self.0.lock().unwrap();
        let call = state.calls.remove(&number);
        state.repeated += call.map_or(0, |call| call.runs.len().saturating_sub(1));
    }

    /// Notes that its caller is told that the call failed.
    pub(crate) fn fail(&self, number: u64) {
        if let Some(call) = self.0.lock().unwrap().calls.get_mut(&number) {
            call.told = Some(Instant::now());
        }
    }

    pub(crate) fn late_runs(&self) -> LateRuns {
        let state = self.0.lock().unwrap();
        let mut late = LateRuns {
            repeated: state.repeated,
            ..LateRuns::default()
        };
        for call in state.calls.values() {
            late.add(call);
        }
        late
    }

    /// Forgets the calls that have failed, and what was counted.
    pub(crate) fn forget_ended(&self) {
        let mut state = self.0.lock().unwrap();
        state.calls.retain(|_, call| call.told.is_none());
        state.calls.shrink_to_fit();
        state.repeated = 0;
    }
}

impl LateRuns {
    fn add(&mut self, call: &CallRecord) {
        self.repeated += call.runs.len().saturating_sub(1);
        let Some(told) = call.told else {
            return;
        };
        let late_by = |handed_over: Instant| handed_over.saturating_duration_since(told);
        let late_by = call.handed_over.map_or(Duration::ZERO, late_by);
        if late_by > ON_ITS_WAY {
            self.handed_over_late.push((call.kind, late_by));
        }
        for run in call.runs.iter().filter(|run| run.began > told) {
            *self.began_late.entry(call.kind).or_default() += 1;
            self.bytes += call.kind.length() + OVERHEAD;
            let is_expired = call.kind == CallKind::Expiring && run.began > call.deadline;
            self.expired += usize::from(is_expired);
            if call.kind == CallKind::Long {
                match run.end {
                    Some(RunEnd::Dropped) => self.long_dropped += 1,
                    Some(RunEnd::Finished) => self.long_finished += 1,
                    None => self.long_running += 1,
                }
            }
        }
    }
}

impl RunGuard {
    pub(crate) fn finish(mut self) {
        self.end = RunEnd::Finished;
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let mut state = self.ledger.0.lock().unwrap();
        let call = state.calls.get_mut(&self.number);
        if let Some(run) = call.and_then(|call| call.runs.last_mut()) {
            run.end = Some(self.end);
        }
    }
}

/// Returns the numbers of the calls whose data is in these bytes, and the end of the bytes in which a mark may have
/// begun.
pub(crate) fn numbers_in(bytes: &[u8]) -> (Vec<u64>, usize) {
    let mark_length = MARK.len() + DIGITS + 1;
    let mut numbers = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == MARK[0]) {
        at += found;
        match bytes.get(at..at + mark_length) {
            None => return (numbers, at),
            Some(mark) => numbers.extend(number_in(mark)),
        }
        at += 1;
    }
    (numbers, bytes.len())
}

/// Returns the number of the call whose data begins so.
pub(crate) fn number_in(data: &[u8]) -> Option<u64> {
    let digits = data.strip_prefix(MARK)?.get(..=DIGITS)?;
    let digits = std::str::from_utf8(digits.strip_suffix(b">")?);
    digits.ok()?.parse().ok()
}

#[test]
fn numbers_of_calls_are_found_in_pieces_of_a_connection() {
    let ledger = CallLedger::default();
    let [first, second] = [(); 2].map(|()| ledger.begin(CallKind::Plain).1);
    let bytes = [b"PUB a <cal <b ", &first[..], b"\r\nPUB b ", &second].concat();
    assert_eq!(numbers_in(&bytes), (vec![0, 1], bytes.len()));
    for length in 0..bytes.len() {
        let (mut numbers, rest) = numbers_in(&bytes[..length]);
        numbers.extend(numbers_in(&bytes[rest..]).0);
        assert_eq!(numbers, [0, 1], "{length}");
    }
}
