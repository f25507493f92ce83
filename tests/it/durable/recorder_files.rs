//! Recorder processes, and the files to which they append each event that they receive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use micro_testkit::Process;

/// Folder with one file per recorder process.
pub(super) struct RecorderFiles {
    folder: tempfile::TempDir,
}

/// Events that all recorders together have written.
pub(super) struct RecordedEvents {
    /// Number of the trade by its sequence in the stream.
    trades: BTreeMap<u64, u64>,
    /// Number of lines, which is higher than the number of events after a redelivery.
    pub(super) lines: usize,
}

impl RecorderFiles {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a recorder process with its own file, and waits until it consumes.
    pub(super) async fn start_recorder(&self, url: &str, name: &str) -> Process {
        let process = self.spawn_recorder(url, name, None);
        process
            .wait_for_line("ready", Duration::from_secs(20))
            .await
            .unwrap();
        process
    }

    /// Spawns a recorder process, which the event with the number `poison` aborts.
    pub(super) fn spawn_recorder(&self, url: &str, name: &str, poison: Option<u64>) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_durable-recorder"));
        command.env("NATS_URL", url).env("RECORD", self.path(name));
        if let Some(number) = poison {
            command.env("POISON", number.to_string());
        }
        Process::spawn(command).unwrap()
    }

    /// Numbers of the events that all recorders have written.
    pub(super) fn recorded(&self) -> BTreeSet<u64> {
        self.read().trades.into_values().collect()
    }

    /// Attempts at which an event has aborted one recorder.
    pub(super) fn aborted(&self, name: &str) -> Vec<u64> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        let attempts = text.lines().filter_map(|line| line.strip_prefix("begun "));
        attempts.map(|attempt| attempt.parse().unwrap()).collect()
    }

    fn read(&self) -> RecordedEvents {
        let mut recorded = RecordedEvents {
            trades: BTreeMap::new(),
            lines: 0,
        };
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            recorded.add(&file.unwrap().path());
        }
        recorded
    }

    /// Number of lines that one recorder has written.
    pub(super) fn lines(&self, name: &str) -> usize {
        std::fs::read_to_string(self.path(name))
            .unwrap()
            .lines()
            .count()
    }

    /// Waits until every acknowledged event is recorded, and checks that each was stored once.
    pub(super) async fn expect_recorded_once(
        &self,
        acknowledged: &BTreeSet<u64>,
    ) -> RecordedEvents {
        loop {
            let events = self.read();
            let recorded: BTreeSet<u64> = events.trades.values().copied().collect();
            if recorded.len() >= acknowledged.len() {
                assert_eq!(&recorded, acknowledged, "recorded and acknowledged");
                assert_eq!(events.trades.len(), acknowledged.len(), "rows and events");
                return events;
            }
            // sleep: polling interval for the files of other processes.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl RecordedEvents {
    fn add(&mut self, path: &Path) {
        let text = std::fs::read_to_string(path).unwrap();
        // A killed process may have written half of its last line.
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let (sequence, number) = line.trim().split_once(' ').unwrap();
            if sequence == "begun" {
                continue;
            }
            self.trades
                .insert(sequence.parse().unwrap(), number.parse().unwrap());
            self.lines += 1;
        }
    }
}
