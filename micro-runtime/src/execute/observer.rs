//! `Observer`: the span of one execution, and the counts and logs that its outcome goes to.

use tracing::Span;

use crate::status::Status;

/// Span, counts and log of one execution: of a call or of an event.
pub(crate) trait Observer: Send {
    /// Full name of the method or of the event, for texts.
    fn name(&self) -> &'static str;

    /// The span in which every poll of the handler runs.
    fn span(&self) -> &Span;

    /// Logs a panic whose payload reads `text`, and returns the status that stands for it.
    fn panicked(&self, text: &str) -> Status;

    /// Counts the outcome: `None` for success. Only the first outcome of an execution counts.
    ///
    /// Called before the reply or acknowledgment leaves, so that a caller who reads the counts after
    /// its reply finds its own call among them.
    fn record(&mut self, failure: Option<&Status>);
}
