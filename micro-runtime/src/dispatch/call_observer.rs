//! `CallObserver`: span, metrics and statistics of one call at the server.

use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use crate::dispatch::served_method::ServedMethod;
use crate::execute::Observer;
use crate::observe::ServerCall;
use crate::status::{Code, Reason, Status};

/// Observes one call that was admitted.
pub(super) struct CallObserver {
    method: Arc<ServedMethod>,
    received: Instant,
    call: ServerCall,
    /// The first outcome, and the code that it failed with.
    outcome: Option<Option<Code>>,
}

impl CallObserver {
    pub(super) fn new(method: &Arc<ServedMethod>, received: Instant) -> Self {
        Self {
            call: ServerCall::begin(method.method, &method.meters, received),
            method: Arc::clone(method),
            received,
            outcome: None,
        }
    }

    /// Ends the span and the metrics, with the outcome that was recorded. A stream is over only once
    /// its last frame has left, which is after its outcome is known.
    pub(super) fn close(&mut self) {
        self.call.end(self.outcome.flatten());
    }
}

impl Observer for CallObserver {
    fn full_name(&self) -> &'static str {
        self.method.method.full_name
    }

    fn span(&self) -> &Span {
        self.call.span()
    }

    /// The caller learns only that its handler panicked; the text may hold what is not for it.
    fn panicked(&self, text: &str) -> Status {
        let name = self.full_name();
        tracing::error!(method = name, panic = text, "a handler panicked");
        Reason::Panicked.status(format!("the handler of {name} panicked"))
    }

    fn record(&mut self, failure: Option<&Status>) {
        if self.outcome.is_some() {
            return;
        }
        self.outcome = Some(failure.map(Status::code));
        if let Some(status) = failure {
            tracing::debug!(method = self.full_name(), %status, "a call failed");
        }
        self.method.stats.record(self.received.elapsed(), failure);
    }
}
