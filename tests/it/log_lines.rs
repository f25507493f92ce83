//! The log of one test: every line that is written on its thread, of all crates and levels.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// A subscriber of no thread. As long as there is one alone, tracing asks that of the thread which first comes to a
/// line whether anybody wants it; a thread of another test has none, and the line is in no log from then on. Of two or
/// more it asks all.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Lines of the log since [`start`](Self::start).
#[derive(Clone)]
pub(crate) struct LogLines {
    lines: Arc<Mutex<Vec<LogLine>>>,
    max_level: Level,
}

/// One line: its message, and its other fields as ` name=value`.
#[derive(Clone, Debug)]
pub(crate) struct LogLine {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) text: String,
}

impl LogLines {
    /// Collects what this thread logs while the guard lives. A test of a runtime with one thread logs on no other.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        Self::start_at(Level::TRACE)
    }

    /// Collects as [`start`](Self::start) does, lines up to a level alone.
    pub(crate) fn start_at(max_level: Level) -> (Self, DefaultGuard) {
        LazyLock::force(&SECOND);
        let lines = Self {
            lines: Arc::default(),
            max_level,
        };
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// Returns the lines that `is_wanted` holds for.
    pub(crate) fn matching(&self, is_wanted: impl Fn(&LogLine) -> bool) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter(|line| is_wanted(line))
            .cloned()
            .collect()
    }

    /// Returns the warnings and errors of micro-runtime with this text.
    pub(crate) fn containing(&self, text: &str) -> Vec<LogLine> {
        let mut lines = self.of_runtime();
        lines.retain(|line| line.text.contains(text));
        lines
    }

    /// Returns whether a warning has this text.
    pub(crate) fn has_warning(&self, text: &str) -> bool {
        let is_wanted = |line: &LogLine| line.level == Level::WARN && line.text.contains(text);
        !self.matching(is_wanted).is_empty()
    }

    /// Returns the lines of micro-runtime that a program sees by default: warnings and errors.
    pub(crate) fn of_runtime(&self) -> Vec<LogLine> {
        self.matching(|line| line.level <= Level::WARN && line.target.starts_with("micro_runtime"))
    }
}

impl LogLine {
    /// Returns the value of a field that is a number.
    pub(crate) fn number(&self, field: &str) -> u64 {
        let value = self.text.split(&format!(" {field}=")).nth(1);
        let value = value.and_then(|text| text.split(' ').next());
        value.and_then(|text| text.parse().ok()).unwrap()
    }
}

impl<S: tracing::Subscriber> Layer<S> for LogLines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() || *metadata.level() <= self.max_level
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = LineText(String::new());
        event.record(&mut text);
        let line = LogLine {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            text: text.0,
        };
        self.lines.lock().unwrap().push(line);
    }
}

/// Reads the text of an event.
struct LineText(String);

impl Visit for LineText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?}")),
            name => self.0.push_str(&format!(" {name}={value:?}")),
        }
    }
}
