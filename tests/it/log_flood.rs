//! `LogFlood`: the log of something that happens tens of thousands of times.
#![expect(clippy::print_stdout, reason = "the figures are the result of a run")]

use std::time::Duration;

use micro_runtime::RunningServer;

use crate::log_lines::{LogLine, LogLines};

pub(crate) const FEW: u64 = 3_000;
const MANY: u64 = 50_000;
/// Maximum number of lines of one kind.
const MAX_LINES: usize = 10;

/// A number of times that something happens, and how the last count comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloodLoad {
    /// [`FEW`], and the last count comes with the stop.
    Stopped,
    /// [`MANY`], and the last count comes by itself.
    Left,
}

impl FloodLoad {
    pub(crate) fn times(self) -> u64 {
        match self {
            Self::Stopped => FEW,
            Self::Left => MANY,
        }
    }
}

/// Log of one flood.
pub(crate) struct LogFlood {
    log: LogLines,
    load: FloodLoad,
    _guard: tracing::subscriber::DefaultGuard,
}

impl LogFlood {
    pub(crate) fn begin(load: FloodLoad) -> Self {
        let (log, _guard) = LogLines::start_at(tracing::Level::WARN);
        Self { log, load, _guard }
    }

    pub(crate) fn count(&self, text: &str) -> u64 {
        let lines = self.log.containing(text);
        lines.iter().map(|line| line.number("count")).sum()
    }

    /// Waits until the last count has come by itself, within 30 s and a look.
    pub(crate) async fn wait_for_the_last(&self, text: &str, times: u64) {
        while self.load == FloodLoad::Left && self.count(text) < times {
            tokio::time::sleep(Duration::from_millis(100)).await; // sleep: polling interval
        }
    }

    /// Stops the server, and checks the lines with this text: a few, each with `field`, whose counts are `times`.
    pub(crate) async fn end(&self, server: RunningServer, text: &str, field: &str, times: u64) {
        self.wait_for_the_last(text, times).await;
        server.shutdown().await.unwrap();
        self.check(text, field, times);
    }

    pub(crate) fn check(&self, text: &str, field: &str, times: u64) {
        let lines = self.log.containing(text);
        assert!((2..=MAX_LINES).contains(&lines.len()), "{lines:?}");
        let has_field = |line: &LogLine| line.text.contains(field);
        assert!(lines.iter().all(has_field), "{lines:?}");
        assert_eq!(lines[0].number("count"), 1, "{lines:?}");
        assert_eq!(self.count(text), times, "{lines:?}");
        let all = self.log.of_runtime();
        assert!(all.len() <= MAX_LINES, "{all:?}");
        println!(
            "{times} times `{text}`: {} lines, the last: {:?}",
            lines.len(),
            lines.last()
        );
    }
}
