//! `SpanJournal`: a `tracing` subscriber for tests, which notes when spans are entered and left.

use std::sync::{Arc, LazyLock, Mutex};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata as TraceMetadata, Subscriber};

use crate::sync::lock;

/// Steps of a test in the order in which they happened.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

/// Notes which spans are entered and left.
struct SpanJournal(Journal);

/// A subscriber of no thread. As long as there is one alone, tracing asks that of the thread which first comes to a
/// span whether anybody wants it; a thread of another test has none, and the span is lost. Of two or more it asks all.
static SECOND: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(SpanJournal(Journal::default())));

impl Journal {
    /// Returns a journal that notes the spans of this thread while the guard lives.
    pub(crate) fn of_spans() -> (Self, DefaultGuard) {
        LazyLock::force(&SECOND);
        let journal = Self::default();
        let subscriber = SpanJournal(journal.clone());
        (journal, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn note(&self, entry: impl Into<String>) {
        lock(&self.0).push(entry.into());
    }

    /// Takes the notes so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Subscriber for SpanJournal {
    fn enabled(&self, _: &TraceMetadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        self.0.note("entered");
    }

    fn exit(&self, _: &Id) {
        self.0.note("left");
    }
}
