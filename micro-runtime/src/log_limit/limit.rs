//! `LogLimit`: the first log line of a kind at once, and then one each 30 s, with the number of times that it stands
//! for.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::log_limit::overdue_lines::{HeldBack, LimitedLine, schedule};
use crate::sync::lock;

/// Minimum time between two lines of one kind.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Writes a line that stands for so many times.
type Line = Box<dyn FnOnce(u64) + Send>;

/// Limit of one kind of log line that something outside of this process can cause at any rate: the first is written at
/// once, and then one each 30 s.
///
/// No time is lost. What was held back is written with its count once the 30 s are over, though nothing more happens,
/// by a task that all limits of a runtime share and that exists only while something is held back; and earlier where
/// the limit is dropped, as with its server, or the runtime ends. The line has the fields of the last time.
///
/// A limit belongs to a method, an event, a consumer or a connection, and never to a text that a peer chooses.
#[derive(Default)]
pub(crate) struct LogLimit(OnceLock<Arc<LimitedKind>>);

/// One kind of line, which the shared task refers to.
#[derive(Default)]
struct LimitedKind(Mutex<State>);

#[derive(Default)]
struct State {
    last_line: Option<Instant>,
    /// Number of times since then.
    unlogged: u64,
    /// Line of the last of them.
    line: Option<Line>,
    /// Whether the shared task looks at this limit.
    is_scheduled: bool,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Counts one more time. `line` writes the log line, with the number of times that it stands for, at once or later.
    pub(crate) fn write(&self, line: impl FnOnce(u64) + Send + 'static) {
        self.write_many(1, line);
    }

    /// Counts so many times as [`write`](Self::write) does one.
    pub(crate) fn write_many(&self, times: u64, line: impl FnOnce(u64) + Send + 'static) {
        let kind = self.0.get_or_init(Arc::default);
        let mut state = lock(&kind.0);
        state.unlogged += times;
        if state.is_due() {
            let (_, count) = state.take();
            drop(state);
            return line(count);
        }
        let replaced = state.line.replace(Box::new(line));
        let is_scheduled = std::mem::replace(&mut state.is_scheduled, true);
        drop(state);
        // Outside of the lock: it may own anything.
        drop(replaced);
        if is_scheduled {
            return;
        }
        let weak = Arc::downgrade(kind);
        if !schedule(weak) {
            // Without a runtime the next time writes it, or the drop.
            lock(&kind.0).is_scheduled = false;
        }
    }
}

impl State {
    fn is_due(&self) -> bool {
        let elapsed = |line: Instant| Instant::now().saturating_duration_since(line);
        self.last_line
            .is_none_or(|line| elapsed(line) >= LOG_INTERVAL)
    }

    /// Begins the next interval; returns the line that was held back, and the number of times.
    fn take(&mut self) -> (Option<Line>, u64) {
        self.last_line = Some(Instant::now());
        (self.line.take(), std::mem::take(&mut self.unlogged))
    }
}

impl LimitedLine for LimitedKind {
    fn write_now(&self) {
        self.write_if(|_| true);
    }

    fn write_overdue(&self) -> HeldBack {
        self.write_if(State::is_due)
    }
}

impl LimitedKind {
    /// Writes the line that was held back, if there is one and `is_wanted`.
    fn write_if(&self, is_wanted: impl FnOnce(&State) -> bool) -> HeldBack {
        let mut state = lock(&self.0);
        if state.line.is_some() && !is_wanted(&state) {
            return HeldBack::Something;
        }
        state.is_scheduled = false;
        if state.line.is_none() {
            return HeldBack::Nothing;
        }
        let (line, count) = state.take();
        drop(state);
        if let Some(line) = line {
            line(count);
        }
        HeldBack::Nothing
    }
}

impl Drop for LogLimit {
    fn drop(&mut self) {
        if let Some(kind) = self.0.take() {
            kind.write_now();
        }
    }
}

impl fmt::Debug for LogLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLimit").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
