//! `Observer`: the span of one execution, and the counts and logs that its outcome goes to.

use tracing::Span;

use crate::status::Status;

/// Span, counts and log of one execution, of a call or of an event.
///
/// Only `Execution` calls [`panicked`](Self::panicked), which it does within the span, and
/// [`record`](Self::record).
pub(crate) trait Observer: Send {
    /// Full name of the method or of the event, for texts.
    fn full_name(&self) -> &'static str;

    /// The span in which the handler is polled and dropped.
    fn span(&self) -> &Span;

    /// Reports a panic whose payload reads `text`, and returns the status that stands for it.
    ///
    /// Calls keep the text from the caller, since it may hold what is not meant for peers.
    fn panicked(&self, text: &str) -> Status;

    /// Logs a destructor of the handler that panicked with `text`. The outcome stays what it is.
    fn destructor_panicked(&self, text: &str);

    /// Counts the outcome, `None` for success, and logs a failure. Called once for an execution, or not
    /// at all if it has no outcome: an event that the end of the server interrupted.
    fn record(&mut self, failure: Option<&Status>);
}
