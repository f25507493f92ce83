//! Publishers under load and recorders in processes of their own, and the account of both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use micro_runtime::Bus;
use micro_testkit::Process;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{id, trade};

const PUBLISHERS: u64 = 8;

/// Publishers that go on until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: watch::Sender<usize>,
    publishers: JoinSet<(BTreeSet<u64>, Duration)>,
}

/// The file that recorders write to.
pub(crate) struct Record {
    folder: tempfile::TempDir,
}

/// What was recorded.
pub(crate) struct Account {
    /// The event's number by its place in the stream.
    rows: BTreeMap<u64, u64>,
    pub(crate) lines: usize,
}

impl Load {
    pub(crate) fn start(bus: &Bus) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = watch::Sender::new(0);
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let (bus, stop, count) = (bus.clone(), stop.clone(), acknowledged.clone());
            publishers.spawn(async move {
                let mut stored = BTreeSet::new();
                let mut longest = Duration::ZERO;
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let number = turn * PUBLISHERS + publisher;
                    let started = Instant::now();
                    bus.publish_durable(&trade(number))
                        .id(id(number))
                        .await
                        .unwrap();
                    longest = longest.max(started.elapsed());
                    stored.insert(number);
                    count.send_modify(|count| *count += 1);
                    // sleep: the pace of the load.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                (stored, longest)
            });
        }
        Self {
            stop,
            acknowledged,
            publishers,
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        *self.acknowledged.borrow()
    }

    pub(crate) async fn wait_for(&self, acknowledged: usize) {
        let mut count = self.acknowledged.subscribe();
        count
            .wait_for(|count| *count >= acknowledged)
            .await
            .unwrap();
    }

    /// Stops, and returns what was acknowledged and the longest wait for an acknowledgment.
    pub(crate) async fn stop(mut self) -> (BTreeSet<u64>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeSet::new();
        let mut longest = Duration::ZERO;
        while let Some(publisher) = self.publishers.join_next().await {
            let (stored, wait) = publisher.unwrap();
            all.extend(stored);
            longest = longest.max(wait);
        }
        (all, longest)
    }
}

impl Record {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a recorder with a file of its own, and waits until it consumes.
    pub(crate) async fn recorder(&self, url: &str, name: &str) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_durable-recorder"));
        command.env("NATS_URL", url).env("RECORD", self.path(name));
        let process = Process::spawn(command).unwrap();
        process
            .wait_for_line("ready", Duration::from_secs(20))
            .await
            .unwrap();
        process
    }

    pub(crate) fn account(&self) -> Account {
        let mut account = Account {
            rows: BTreeMap::new(),
            lines: 0,
        };
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            account.read(&file.unwrap().path());
        }
        account
    }

    /// How much one recorder has written.
    pub(crate) fn lines(&self, name: &str) -> usize {
        std::fs::read_to_string(self.path(name))
            .unwrap()
            .lines()
            .count()
    }

    /// Waits until everything that was acknowledged is recorded, and holds that it is there once.
    pub(crate) async fn settles(&self, acknowledged: &BTreeSet<u64>) -> Account {
        loop {
            let account = self.account();
            let recorded: BTreeSet<u64> = account.rows.values().copied().collect();
            if recorded.len() >= acknowledged.len() {
                assert_eq!(&recorded, acknowledged, "recorded and acknowledged");
                assert_eq!(account.rows.len(), acknowledged.len(), "rows and events");
                return account;
            }
            // sleep: between two looks at the files of other processes.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Account {
    fn read(&mut self, path: &Path) {
        let text = std::fs::read_to_string(path).unwrap();
        // A process that was killed may have left half a line.
        for line in text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let (sequence, number) = line.trim().split_once(' ').unwrap();
            self.rows
                .insert(sequence.parse().unwrap(), number.parse().unwrap());
            self.lines += 1;
        }
    }
}
