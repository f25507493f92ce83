//! Runs the market: starts the parts in order, restarts those that exit, and stops them in order.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use micro_runtime::{Bus, shutdown_signal};
use micro_testkit::NatsServer;

use crate::Result;
use crate::audit::Audit;
use crate::lifecycle::{self, print_line};
use crate::proto::{CountsReply, CountsRequest, WatcherClient};
use crate::store::{Reader, Writer};
use crate::stream::market_stream;
use crate::supervisor::launcher::Launcher;
use crate::supervisor::process::PartProcess;
use crate::supervisor::report::Report;
use crate::supervisor::settings::MarketSettings;

/// Limit for the recorder and Python to receive the last events of the feeds.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Minimum delay between two audits while the market settles.
const AUDIT_INTERVAL: Duration = Duration::from_millis(100);
/// Timeout of a call to Python, which is shorter than the interval of the status lines.
const COUNTS_TIMEOUT: Duration = Duration::from_millis(800);
/// Interval of the status lines, and of the checks for parts that have exited.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// A market whose parts all run.
struct RunningMarket {
    // Fields are dropped in this order if the start or the run fails.
    feeds: Vec<PartProcess>,
    others: Vec<PartProcess>,
    exchange: PartProcess,
    watcher: WatcherClient,
    report: Report,
    database: PathBuf,
    ledgers: Vec<PathBuf>,
    nats: NatsServer,
}

/// Runs a market; returns `Ok(false)` if an acknowledged event is not in the database.
///
/// # Errors
///
/// If a part does not start, or a file cannot be written.
pub async fn run(settings: MarketSettings) -> Result<bool> {
    let mut shutdown = Box::pin(shutdown_signal()?);
    let folder = tempfile::Builder::new().prefix("market-").tempdir()?;
    let path = folder.path().to_path_buf();
    // `keep` must take effect before the first failure.
    let _folder = match settings.keep {
        true => {
            print_line(&format!(
                "logs and database stay in {}",
                folder.keep().display()
            ));
            None
        }
        false => Some(folder),
    };
    let market = tokio::select! {
        market = RunningMarket::start(&settings, &path) => market?,
        () = &mut shutdown => {
            print_line("stopped before all parts were running");
            return Ok(true);
        }
    };
    market.run(settings.seconds, shutdown).await
}

impl RunningMarket {
    async fn start(settings: &MarketSettings, folder: &Path) -> Result<Self> {
        print_line("starting a nats-server with JetStream");
        let nats = NatsServer::builder().jetstream().start().await?;
        let url = nats.url();
        let bus = Bus::connect(&url).await?;
        lifecycle::declare(&bus, &market_stream(1)).await?;
        let database = settings
            .db
            .clone()
            .unwrap_or_else(|| folder.join("market.db"));
        Writer::open(&database)?;
        let ledgers = ["crypto", "fx"].map(|feed| folder.join(format!("{feed}.acknowledged")));
        let report = Report::start(&bus, &database, &ledgers).await?;

        let launcher = Launcher {
            folder,
            url: &url,
            database: &database,
        };
        let (seed, rate) = (settings.seed.to_string(), settings.rate.to_string());
        let arguments = ["--seed", &seed, "--rate", &rate];
        let mut exchange = launcher.start("exchange", &arguments).await?;
        let simulated = exchange.find_in_log("listening on ").unwrap_or_default();
        // A restarted exchange must listen on the same port, where the feeds reconnect.
        let port = simulated.rsplit(':').next().unwrap_or_default();
        exchange.add_arguments(["--port", port]);
        let db = launcher.database_option();
        let mut others = Vec::new();
        for _ in 0..settings.recorders {
            others.push(launcher.start("recorder", &db).await?);
        }
        others.push(launcher.start("history", &db).await?);
        others.push(launcher.start("indicators", &[]).await?);
        others.push(launcher.start_python().await?);
        let mut market = Self {
            feeds: Vec::new(),
            others,
            exchange,
            watcher: bus.client(),
            report,
            ledgers: ledgers.into(),
            database: database.clone(),
            nats,
        };
        market.start_feeds(settings, &launcher, &simulated).await?;
        print_line(&settings.origin_of_prices());
        Ok(market)
    }

    /// Starts the feeds, after everything that receives events: averages are not stored, so a late
    /// subscriber would miss some.
    async fn start_feeds(
        &mut self,
        settings: &MarketSettings,
        launcher: &Launcher<'_>,
        simulated: &str,
    ) -> Result<()> {
        let symbols = settings.symbols.join(",");
        for (name, table, ledger) in [("crypto", "trades", 0), ("fx", "ticks", 1)] {
            let ledger = self.ledgers[ledger].display().to_string();
            let venue = format!("sim-{name}");
            // With a database of an earlier run, the feed resumes after its last event.
            let after = Reader::open(&self.database)?
                .last_number(table, &venue)?
                .to_string();
            let url = settings.url.as_deref().filter(|_| name == "crypto");
            let mut arguments = vec!["--ledger", &ledger];
            match url {
                None => arguments.extend(["--exchange", simulated, "--after", &after]),
                Some(url) => {
                    arguments.extend(["--url", url, "--venue", &settings.venue]);
                    arguments.extend(["--symbols", &symbols]);
                }
            }
            let feed = format!("feed-{name}");
            self.feeds.push(launcher.start(&feed, &arguments).await?);
        }
        Ok(())
    }

    async fn run(
        mut self,
        seconds: Option<u64>,
        shutdown: impl Future<Output = ()> + Unpin,
    ) -> Result<bool> {
        let recorders = self.others.iter().filter(|part| part.name() == "recorder");
        let pids: Vec<String> = recorders.map(|part| part.pid().to_string()).collect();
        print_line(&format!(
            "all parts run; to see a recovery, kill a recorder: kill -9 {}",
            pids.join(" ")
        ));
        tokio::select! {
            ended = self.supervise(seconds) => ended?,
            () = shutdown => {}
        }
        // At the second signal this process ends, and with its standard input each part.
        print_line("stopping the feeds, then the other parts; Ctrl-C again ends at once");
        self.stop().await
    }

    /// Stops every part, prints the totals, and returns whether no event is lost.
    async fn stop(mut self) -> Result<bool> {
        for feed in &mut self.feeds {
            feed.stop().await?;
        }
        let counts = self.settle().await?;
        self.report.print_tables().await;
        for part in self.others.iter_mut().rev() {
            part.stop().await?;
        }
        self.exchange.stop().await?;
        let audit = Audit::run(&self.ledgers, &self.database)?;
        // The connections close before the server stops, or they would log that they are lost.
        drop((self.report, self.watcher));
        self.nats.stop()?;
        print_line(&format!(
            "published {} recorded {} python {} lost {}",
            audit.published,
            audit.recorded,
            counts.trades + counts.ticks,
            audit.lost
        ));
        Ok(audit.lost == 0)
    }

    /// Prints a status line and restarts exited parts at each interval.
    async fn supervise(&mut self, seconds: Option<u64>) -> Result<()> {
        let started = Instant::now();
        let mut interval = tokio::time::interval(STATUS_INTERVAL);
        interval.tick().await;
        while seconds.is_none_or(|seconds| started.elapsed() < Duration::from_secs(seconds)) {
            interval.tick().await;
            for part in self
                .feeds
                .iter_mut()
                .chain(&mut self.others)
                .chain([&mut self.exchange])
            {
                part.restart_if_exited().await?;
            }
            let counts = self.counts().await;
            self.report.print_status(started.elapsed(), counts)?;
        }
        Ok(())
    }

    /// Calls the service in Python; returns `None` if it does not reply in time.
    async fn counts(&self) -> Option<CountsReply> {
        let call = self.watcher.counts(CountsRequest {});
        call.timeout(COUNTS_TIMEOUT).await.ok()
    }

    /// Waits until the recorder and Python have received every event, or for [`SETTLE_TIMEOUT`].
    async fn settle(&mut self) -> Result<CountsReply> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let started = Instant::now();
            let audit = Audit::run(&self.ledgers, &self.database)?;
            let counts = self.counts().await.unwrap_or_default();
            let is_settled = audit.lost == 0 && counts.trades + counts.ticks >= audit.published;
            if is_settled || Instant::now() > deadline {
                return Ok(counts);
            }
            for part in &mut self.others {
                part.restart_if_exited().await?;
            }
            tokio::time::sleep(AUDIT_INTERVAL.max(started.elapsed())).await;
        }
    }
}
