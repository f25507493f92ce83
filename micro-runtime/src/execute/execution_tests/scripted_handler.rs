//! A handler and an observer that note what an `Execution` does with them.

use std::task::{Context as TaskContext, Poll};

use tracing::Span;

use crate::context::Context;
use crate::execute::handler_future::HandlerFuture;
use crate::execute::observer::Observer;
use crate::execute::span_journal::Journal;
use crate::status::{Reason, Status};

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

impl JournalObserver {
    /// Moves the observer out of an execution that is suspended.
    pub(super) fn take(&mut self) -> Self {
        Self {
            journal: self.journal.clone(),
            span: std::mem::replace(&mut self.span, Span::none()),
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
