//! `SpanJournal`: a `tracing` subscriber for tests, which notes when spans are entered and left.

use std::sync::{Arc, Mutex};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata as TraceMetadata, Subscriber};

use crate::sync::lock;

/// Steps of a test in the order in which they happened.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

/// Notes which spans are entered and left.
pub(crate) struct SpanJournal(pub(crate) Journal);

impl Journal {
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
