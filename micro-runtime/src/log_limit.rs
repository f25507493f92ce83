//! `LogLimit`: one log line in 30 s, with the number of times that it stands for.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::lock;

/// Time between two lines.
pub(crate) const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Limit of a log line that something outside of this process can cause at any rate: the first is due at once, and
/// then one each 30 s.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last_line: Option<Instant>,
    /// Number of times since then.
    unlogged: u64,
}

impl LogLimit {
    /// Counts one more; returns the number of times that the line stands for if one is due.
    pub(crate) fn due(&self) -> Option<u64> {
        lock(&self.0).unlogged += 1;
        self.overdue()
    }

    /// Returns the number of times that were counted and not logged, if a line is due for them.
    pub(crate) fn overdue(&self) -> Option<u64> {
        let mut state = lock(&self.0);
        let now = Instant::now();
        let is_due = state
            .last_line
            .is_none_or(|line| now.saturating_duration_since(line) >= LOG_INTERVAL);
        if state.unlogged == 0 || !is_due {
            return None;
        }
        state.last_line = Some(now);
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_line_is_due_at_once_and_then_one_each_interval() {
        let limit = LogLimit::default();
        assert_eq!(limit.overdue(), None);
        assert_eq!(limit.due(), Some(1));
        assert_eq!(limit.due(), None);
        assert_eq!(limit.due(), None);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(limit.overdue(), Some(2));
        assert_eq!(limit.due(), None);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(limit.due(), Some(2));
    }
}
