//! `Progress`: the successes of a part of the load since a moment that the test chooses.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The successes since the last reset.
#[derive(Debug, Default)]
pub(crate) struct Progress(watch::Sender<Successes>);

#[derive(Clone, Copy, Debug, Default)]
struct Successes {
    first: Option<Instant>,
    last: Option<Instant>,
    longest_gap: Duration,
}

impl Progress {
    /// Notes a success.
    pub(crate) fn note(&self) {
        self.0.send_if_modified(|successes| {
            let now = Instant::now();
            let gap = successes.last.map_or(Duration::ZERO, |last| now - last);
            successes.longest_gap = successes.longest_gap.max(gap);
            successes.last = Some(now);
            let is_first = successes.first.is_none();
            successes.first.get_or_insert(now);
            is_first
        });
    }

    /// Begins to count anew.
    pub(crate) fn reset(&self) {
        self.0.send_modify(|successes| {
            successes.first = None;
            successes.longest_gap = Duration::ZERO;
        });
    }

    /// Waits for one more success.
    pub(crate) async fn next(&self) {
        self.0.send_modify(|successes| successes.first = None);
        self.first().await;
    }

    /// Waits for the first success since the last reset, and returns its time.
    pub(crate) async fn first(&self) -> Instant {
        let mut successes = self.0.subscribe();
        let first = successes.wait_for(|one| one.first.is_some()).await.unwrap();
        first.first.unwrap()
    }

    /// Returns the longest time between two successes, the later of which came after the last reset.
    pub(crate) fn longest_gap(&self) -> Duration {
        self.0.borrow().longest_gap
    }
}
