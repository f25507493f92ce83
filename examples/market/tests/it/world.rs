//! A market in parts: a nats-server or a cluster, a database, and the processes that a test asks for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use market::account::Account;
use market::feed::Tally;
use market::market::STREAM;
use market::proto::{SeenReply, SeenRequest, WatcherClient};
use micro_runtime::Bus;
use micro_runtime::async_nats::jetstream;
use micro_testkit::Process;
use tempfile::TempDir;

/// For a part to start or to end, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// For what the test itself is about.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

pub(crate) struct World {
    folder: TempDir,
    url: String,
    replicas: String,
}

impl World {
    pub(crate) fn new(url: impl Into<String>, replicas: usize) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            url: url.into(),
            replicas: replicas.to_string(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("market.db")
    }

    fn ledgers(&self) -> [PathBuf; 2] {
        ["crypto", "fx"].map(|feed| self.path(&format!("{feed}.acknowledged")))
    }

    /// A part of the market, not started yet.
    pub(crate) fn command(&self, part: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_market"));
        command.arg(part).env("NATS_URL", &self.url);
        command.args(["--replicas", &self.replicas]);
        command
    }

    pub(crate) async fn part(&self, mut command: Command, arguments: &[&str]) -> Process {
        command.args(arguments);
        started(command).await
    }

    pub(crate) async fn recorder(&self) -> Process {
        self.on_database("recorder").await
    }

    pub(crate) async fn on_database(&self, part: &str) -> Process {
        let database = self.database();
        self.part(self.command(part), &["--db", database.to_str().unwrap()])
            .await
    }

    /// Both feeds, each with an exchange of its own.
    pub(crate) async fn feeds(&self, rate: u32) -> Vec<Process> {
        let mut feeds = Vec::new();
        for (part, ledger) in ["feed-crypto", "feed-fx"].into_iter().zip(self.ledgers()) {
            let rate = rate.to_string();
            let arguments = ["--rate", &rate, "--ledger", ledger.to_str().unwrap()];
            feeds.push(self.part(self.command(part), &arguments).await);
        }
        feeds
    }

    pub(crate) async fn python(&self) -> Process {
        started(market::watcher::command(self.folder.path(), &self.url).unwrap()).await
    }

    /// Waits until so many events were acknowledged.
    pub(crate) async fn published(&self, events: u64) {
        while self.acknowledged() < events {
            pause().await;
        }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        let tallies = self.ledgers().map(Tally::new);
        tallies
            .into_iter()
            .map(|mut tally| tally.count().unwrap())
            .sum()
    }

    /// Ends the feeds in order: everything they have sent is acknowledged.
    pub(crate) async fn stop(&self, feeds: Vec<Process>) {
        let mut said = 0;
        for mut feed in feeds {
            feed.terminate().unwrap();
            let status = feed.wait(PATIENCE).await.unwrap();
            assert!(status.success(), "{}", feed.output());
            let line = feed.wait_for_line("acknowledged ", PATIENCE).await.unwrap();
            said += line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        }
        assert_eq!(said, self.acknowledged(), "what the feeds say");
    }

    /// Waits until everything is recorded, and holds that it is there exactly once.
    pub(crate) async fn settles(&self) -> Account {
        loop {
            let account = self.account(&self.database());
            if account.recorded >= account.published {
                assert!(account.is_exact(), "{account:?}");
                assert_eq!(self.stored().await, account.recorded, "in the stream");
                println!("{account:?}");
                return account;
            }
            pause().await;
        }
    }

    pub(crate) fn account(&self, database: &Path) -> Account {
        Account::of(&self.ledgers(), database).unwrap()
    }

    /// How many events the stream holds: a publish that was repeated is there once.
    async fn stored(&self) -> u64 {
        let bus = Bus::connect(&self.url).await.unwrap();
        let jetstream = jetstream::new(bus.nats().unwrap().clone());
        let stream = jetstream.get_stream(STREAM).await.unwrap();
        stream.cached_info().state.messages
    }

    /// Waits until Python has seen so many events; it must not see more.
    pub(crate) async fn python_sees(&self, events: u64) -> SeenReply {
        let bus = Bus::connect(&self.url).await.unwrap();
        let watcher: WatcherClient = bus.client();
        loop {
            let seen = watcher.seen(SeenRequest {}).await.unwrap();
            if seen.trades + seen.ticks >= events {
                assert_eq!(seen.trades + seen.ticks, events);
                return seen;
            }
            pause().await;
        }
    }
}

async fn started(command: Command) -> Process {
    let process = Process::spawn(command).unwrap();
    process.wait_for_line("ready", PATIENCE).await.unwrap();
    process
}

/// Neither files nor the parts tell when there is more.
async fn pause() {
    // sleep: between two looks at what other processes have done.
    tokio::time::sleep(Duration::from_millis(50)).await;
}
