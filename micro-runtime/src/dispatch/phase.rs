//! Progress of a stopping server, and the report of a loop that it has stopped.

use tokio::sync::mpsc;

/// How far a server has come with stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// The subscriptions end at the server; what is under way still arrives.
    Stopping,
    /// Everything has arrived; the loops of methods end once they have read it.
    Closing,
    /// The last call has ended, and with it the last stream: the loops of instances end.
    Ended,
}

/// Says once that a loop has stopped, at its end at the latest: who waits for all loops must not
/// wait for one that ended with its connection.
pub(super) struct Stopped(pub(super) Option<mpsc::UnboundedSender<()>>);

impl Stopped {
    pub(super) fn say(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.say();
    }
}
