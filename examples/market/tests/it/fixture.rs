//! The fixture of the tests: a folder with database and ledgers, and the parts that a test starts.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use market::audit::Audit;
use market::feed::LedgerCounter;
use market::proto::{CountsReply, CountsRequest, WatcherClient};
use market::stream::STREAM_NAME;
use micro_runtime::Bus;
use micro_runtime::async_nats::jetstream;
use micro_testkit::Process;
use tempfile::TempDir;

/// Limit for a part to start or to end, on a machine that is busy with other builds.
pub(crate) const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for a whole test.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(180);

/// A market whose parts are started one by one, on a nats-server or a cluster of the test.
pub(crate) struct MarketFixture {
    folder: TempDir,
    url: String,
    replicas: String,
}

impl MarketFixture {
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

    /// Returns the command of a part, to add arguments to.
    pub(crate) fn command(&self, part: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_market"));
        command.arg(part).env("NATS_URL", &self.url);
        command.args(["--replicas", &self.replicas]);
        command
    }

    /// Starts a part, and waits until it is ready.
    pub(crate) async fn start(&self, mut command: Command, arguments: &[&str]) -> Process {
        command.args(arguments);
        start_process(command).await
    }

    pub(crate) async fn start_recorder(&self) -> Process {
        self.start_with_database("recorder").await
    }

    pub(crate) async fn start_with_database(&self, part: &str) -> Process {
        let database = self.database();
        self.start(self.command(part), &["--db", database.to_str().unwrap()])
            .await
    }

    /// Starts both feeds, each with an exchange of its own.
    pub(crate) async fn start_feeds(&self, rate: u32) -> Vec<Process> {
        let mut feeds = Vec::new();
        for (part, ledger) in ["feed-crypto", "feed-fx"].into_iter().zip(self.ledgers()) {
            let rate = rate.to_string();
            let arguments = ["--rate", &rate, "--ledger", ledger.to_str().unwrap()];
            feeds.push(self.start(self.command(part), &arguments).await);
        }
        feeds
    }

    pub(crate) async fn start_python(&self) -> Process {
        start_process(market::watcher::command(self.folder.path(), &self.url).unwrap()).await
    }

    /// Waits until JetStream has acknowledged this many events to the feeds.
    pub(crate) async fn wait_for_published(&self, events: u64) {
        while self.acknowledged() < events {
            pause().await;
        }
    }

    /// Returns the number of events that JetStream has acknowledged to the feeds.
    pub(crate) fn acknowledged(&self) -> u64 {
        let counters = self.ledgers().map(LedgerCounter::new).into_iter();
        counters.map(|mut counter| counter.count().unwrap()).sum()
    }

    /// Ends the feeds with SIGTERM; each waits for the acknowledgments of what it has sent.
    pub(crate) async fn stop_feeds(&self, feeds: Vec<Process>) {
        let mut reported = 0;
        for mut feed in feeds {
            feed.terminate().unwrap();
            let status = feed.wait(PROCESS_TIMEOUT).await.unwrap();
            assert!(status.success(), "{}", feed.output());
            let line = feed
                .wait_for_line("acknowledged ", PROCESS_TIMEOUT)
                .await
                .unwrap();
            reported += line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        }
        assert_eq!(reported, self.acknowledged(), "as the feeds report");
    }

    /// Waits until every acknowledged event is recorded; each must be there exactly once.
    pub(crate) async fn wait_until_recorded(&self) -> Audit {
        loop {
            let audit = Audit::run(&self.ledgers(), &self.database()).unwrap();
            if audit.recorded >= audit.published {
                assert!(audit.is_exact(), "{audit:?}");
                assert_eq!(self.stored().await, audit.recorded, "in the stream");
                println!("{audit:?}");
                return audit;
            }
            pause().await;
        }
    }

    /// Returns the number of events in the stream, which holds an event that was published again once.
    async fn stored(&self) -> u64 {
        let bus = Bus::connect(&self.url).await.unwrap();
        let jetstream = jetstream::new(bus.nats().unwrap().clone());
        let stream = jetstream.get_stream(STREAM_NAME).await.unwrap();
        stream.cached_info().state.messages
    }

    /// Waits until Python has counted this many events; it must not count more.
    pub(crate) async fn wait_for_python(&self, events: u64) -> CountsReply {
        let bus = Bus::connect(&self.url).await.unwrap();
        let watcher: WatcherClient = bus.client();
        loop {
            let counts = watcher.counts(CountsRequest {}).await.unwrap();
            if counts.trades + counts.ticks >= events {
                assert_eq!(counts.trades + counts.ticks, events);
                return counts;
            }
            pause().await;
        }
    }
}

async fn start_process(command: Command) -> Process {
    let process = Process::spawn(command).unwrap();
    process
        .wait_for_line("ready", PROCESS_TIMEOUT)
        .await
        .unwrap();
    process
}

/// Waits before the next look at the files and counters of other processes, which send no event.
pub(crate) async fn pause() {
    // sleep: between two looks at what other processes have done.
    tokio::time::sleep(Duration::from_millis(50)).await;
}
