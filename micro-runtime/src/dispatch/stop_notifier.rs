//! `StopNotifier`: the report of one loop that it has unsubscribed.

use tokio::sync::mpsc;

/// Reports once to the stopping server that a loop has unsubscribed.
///
/// It does so when dropped at the latest: a loop that ended with its connection must not keep the server
/// waiting for its report.
pub(super) struct StopNotifier(Option<mpsc::UnboundedSender<()>>);

impl StopNotifier {
    pub(super) fn new(sender: mpsc::UnboundedSender<()>) -> Self {
        Self(Some(sender))
    }

    /// Reports, unless that was done before.
    pub(super) fn notify(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(());
        }
    }
}

impl Drop for StopNotifier {
    fn drop(&mut self) {
        self.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_reports_once_and_at_its_end_at_the_latest() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut explicit = StopNotifier::new(sender.clone());
        explicit.notify();
        drop(explicit);
        assert_eq!(receiver.try_recv(), Ok(()));
        assert!(receiver.try_recv().is_err());
        drop(StopNotifier::new(sender));
        assert_eq!(receiver.try_recv(), Ok(()));
    }
}
