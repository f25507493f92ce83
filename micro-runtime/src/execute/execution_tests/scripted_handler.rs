//! A handler, an observer and a subscriber that note what an `Execution` does with them.

use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata as TraceMetadata, Span, Subscriber};

use crate::context::Context;
use crate::execute::handler_future::HandlerFuture;
use crate::execute::observer::Observer;
use crate::status::{Reason, Status};
use crate::sync::lock;

/// Steps of a test in the order in which they happened.
#[derive(Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<String>>>);

/// One poll of a [`ScriptedHandler`].
#[derive(Clone, Copy)]
pub(super) enum Step {
    Wait,
    Return(i32),
    Panic,
}

/// A handler whose polls follow a script, and which notes its polls and its end.
pub(super) struct ScriptedHandler {
    pub(super) journal: Journal,
    pub(super) steps: std::vec::IntoIter<Step>,
    pub(super) is_cleared: bool,
    pub(super) panics_when_dropped: bool,
    pub(super) ctx: Context,
}

/// Notes panics and outcomes.
pub(super) struct JournalObserver {
    pub(super) journal: Journal,
    pub(super) span: Span,
}

/// Notes which spans are entered and left.
pub(super) struct SpanJournal(pub(super) Journal);

impl Journal {
    pub(super) fn note(&self, entry: impl Into<String>) {
        lock(&self.0).push(entry.into());
    }

    /// Takes the notes so far.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl HandlerFuture for ScriptedHandler {
    type Output = i32;

    fn poll(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<i32, Status>> {
        self.journal.note("polled");
        match self.steps.next().expect("no more steps") {
            Step::Wait => Poll::Pending,
            Step::Return(value) => Poll::Ready(Ok(value)),
            Step::Panic => panic!("in a poll"),
        }
    }

    fn clear(&mut self) {
        if !std::mem::replace(&mut self.is_cleared, true) {
            let state = match self.ctx.is_ended() {
                true => "dropped after its context",
                false => "dropped",
            };
            self.journal.note(state);
            assert!(!self.panics_when_dropped, "in a destructor");
        }
    }
}

impl Observer for JournalObserver {
    fn full_name(&self) -> &'static str {
        "test.Scripted"
    }

    fn span(&self) -> &Span {
        &self.span
    }

    fn destructor_panicked(&self, text: &str) {
        self.journal.note(format!("panicked {text}"));
    }

    fn panicked(&self, text: &str) -> Status {
        self.journal.note(format!("panicked {text}"));
        Reason::Panicked.status("a handler panicked")
    }

    fn record(&mut self, failure: Option<&Status>) {
        let outcome = failure.map_or("OK", |status| status.code().name());
        self.journal.note(format!("recorded {outcome}"));
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
