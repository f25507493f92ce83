//! `CallObserver`: span, metrics and statistics of one call at the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;

use crate::dispatch::served_method::ServedMethod;
use crate::execute::Observer;
use crate::observe::ServerCall;
use crate::status::{Code, Reason, Status};

/// Observes one call that was admitted.
///
/// An outcome goes to two places at two moments. The statistics, which discovery shows, count it before
/// the reply leaves; span and metrics end with the call, which for a stream is when its last frame has
/// left.
pub(super) struct CallObserver {
    method: Arc<ServedMethod>,
    received: Instant,
    call: ServerCall,
    failure: Option<Code>,
    /// Time that the call took, if it is known when its outcome is recorded.
    took: Option<Duration>,
}

impl CallObserver {
    /// Begins the span and the metrics of a call whose request came in at `received`. Its time counts from
    /// there, reading of headers and waiting for a task included: that is what the caller waits for.
    pub(super) fn new(method: &Arc<ServedMethod>, received: Instant) -> Self {
        Self {
            call: ServerCall::begin(method.descriptor, &method.metrics, received),
            method: Arc::clone(method),
            received,
            failure: None,
            took: None,
        }
    }

    /// Sets the time that the call took, which spares [`record`](Observer::record) a reading of the clock.
    pub(super) fn set_took(&mut self, took: Duration) {
        self.took = Some(took);
    }

    /// Ends the span and the metrics with the outcome that was recorded.
    ///
    /// An observer that is dropped without it, with its task, counts as `CANCELLED` in the metrics.
    pub(super) fn close(&mut self) {
        self.call.end(self.failure);
    }
}

impl Observer for CallObserver {
    fn full_name(&self) -> &'static str {
        self.method.descriptor.full_name
    }

    fn span(&self) -> &Span {
        self.call.span()
    }

    /// Logs the text of the panic. The caller learns only that its handler panicked: the text may hold
    /// what is not meant for peers.
    fn panicked(&self, text: &str) -> Status {
        let name = self.full_name();
        self.method.logs.panicked(name, text);
        Reason::Panicked.status(format!("the handler of {name} panicked"))
    }

    fn destructor_panicked(&self, text: &str) {
        self.method.logs.destructor_panicked(self.full_name(), text);
    }

    fn record(&mut self, failure: Option<&Status>) {
        self.failure = failure.map(Status::code);
        if let Some(status) = failure {
            let _entered = self.call.span().enter();
            let method = self.full_name();
            tracing::debug!(method, status = %status.with_sources(), "a call failed");
            if status.hides_source() {
                // The caller cannot see the cause.
                self.method.logs.internal_error(method, status);
            }
        }
        let took = self.took.unwrap_or_else(|| self.received.elapsed());
        self.method.stats.record(took, failure);
    }
}
