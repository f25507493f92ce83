//! `DeadlineExtension`: moves the deadline of a durable event's handler as it reports progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Time that was added to the deadline of a handler, by [`Context::progress`](crate::Context::progress).
///
/// A number beside the deadline instead of a lock around it: each handler has one, and nearly none reports progress.
#[derive(Debug, Default)]
pub(super) struct DeadlineExtension {
    /// Time that a report of progress gives the handler from then on; `None` for handlers that report none.
    timeout: Option<Duration>,
    /// Nanoseconds behind the first deadline.
    by: AtomicU64,
}

impl DeadlineExtension {
    /// Makes that of a handler which a report of progress gives this time; none reports any for `None`.
    #[cfg(any(test, feature = "jetstream"))]
    pub(super) fn by_progress(timeout: Option<Duration>) -> Self {
        Self {
            timeout,
            by: AtomicU64::new(0),
        }
    }

    /// Returns the deadline that holds now.
    pub(super) fn apply(&self, first: Instant) -> Instant {
        match self.by.load(Ordering::Acquire) {
            0 => first,
            nanos => first + Duration::from_nanos(nanos),
        }
    }

    /// Begins the timeout anew; no effect on a handler without one.
    pub(super) fn restart(&self, first: Option<Instant>) {
        let (Some(first), Some(timeout)) = (first, self.timeout) else {
            return;
        };
        let deadline = Instant::now().checked_add(timeout);
        let by = deadline.map(|deadline| deadline.saturating_duration_since(first).as_nanos());
        if let Some(nanos) = by.and_then(|by| u64::try_from(by).ok()) {
            self.by.fetch_max(nanos, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn progress_begins_the_timeout_anew_and_never_shortens_it() {
        let timeout = Duration::from_secs(30);
        let extension = DeadlineExtension::by_progress(Some(timeout));
        let first = Instant::now() + timeout;
        assert_eq!(extension.apply(first), first);
        tokio::time::advance(Duration::from_secs(20)).await;
        extension.restart(Some(first));
        assert_eq!(extension.apply(first), Instant::now() + timeout);
        let later = first + Duration::from_secs(100);
        extension.restart(Some(later));
        assert_eq!(extension.apply(first), first + Duration::from_secs(20));

        let none = DeadlineExtension::default();
        none.restart(Some(first));
        assert_eq!(none.apply(first), first);
    }
}
