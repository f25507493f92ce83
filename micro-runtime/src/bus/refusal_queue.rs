//! The queue from async-nats's callback to the task that reads refusals.

use tokio::sync::mpsc;

/// Maximum number of events that wait to be read; further ones are dropped, as async-nats does above 128.
const MAX_QUEUED: usize = 1024;

/// An event of the connection. All are reported, in order: each takes one of the places of which async-nats has 128.
pub(crate) enum ConnectionReport {
    /// Text of a `-ERR`.
    Error(String),
    /// Any other event.
    Other,
}

/// The callback's end of the queue.
pub(super) type ReportSender = mpsc::Sender<ConnectionReport>;

/// Returns the two ends of the queue.
pub(super) fn report_queue() -> (ReportSender, mpsc::Receiver<ConnectionReport>) {
    mpsc::channel(MAX_QUEUED)
}
