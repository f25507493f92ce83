//! The whole market in one command: a nats-server, every part as a process, and who watches them.

mod part;
mod screen;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use micro_runtime::Bus;
use micro_testkit::NatsServer;
use tokio::task::spawn_blocking;

use crate::Result;
use crate::account::Account;
use crate::life::{self, asked_to_end, say};
use crate::market;
use crate::proto::{SeenReply, SeenRequest, WatcherClient};
use crate::show::part::Part;
use crate::show::screen::Screen;
use crate::store::{Reader, Writer};
use crate::watcher;

/// The recorder and Python get so long to take what the feeds have published last.
const SETTLING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_millis(800);

/// What is to be shown.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long; without it until Ctrl-C.
    pub seconds: Option<u64>,
    /// Of the simulated exchanges.
    pub seed: u64,
    /// Events a second of each exchange.
    pub rate: u32,
    /// The database; without it one that is removed at the end.
    pub db: Option<PathBuf>,
    /// Keeps the database and the logs where they are.
    pub keep: bool,
    /// How many recorders share the work.
    pub recorders: u32,
    /// A real venue for the crypto feed.
    pub url: Option<String>,
    /// What that venue is called.
    pub venue: String,
    /// What to ask that venue for.
    pub symbols: Vec<String>,
}

impl Settings {
    /// What a person should know of the prices that follow.
    fn said(&self) -> String {
        let seed = self.seed;
        match &self.url {
            None => format!("sim-crypto and sim-fx are simulated (seed {seed}): no price is real"),
            Some(url) => format!("{} is {url}; sim-fx is simulated (seed {seed})", self.venue),
        }
    }
}

/// What runs.
struct Market {
    // Ended in this order, should anything go wrong.
    feeds: Vec<Part>,
    others: Vec<Part>,
    exchange: Part,
    watcher: WatcherClient,
    screen: Screen,
    database: PathBuf,
    ledgers: Vec<PathBuf>,
    nats: NatsServer,
}

/// Shows the market; `Ok(false)` if an event that was acknowledged is not in the database.
///
/// # Errors
///
/// If a part does not start, or a file cannot be written.
pub async fn run(settings: Settings) -> Result<bool> {
    let folder = tempfile::Builder::new().prefix("market-").tempdir()?;
    let path = folder.path().to_path_buf();
    // What is kept is kept also when this fails.
    let _folder = match settings.keep {
        true => {
            say(&format!(
                "logs and database stay in {}",
                folder.keep().display()
            ));
            None
        }
        false => Some(folder),
    };
    let mut ending = Box::pin(asked_to_end(false));
    let market = tokio::select! {
        market = Market::start(&settings, &path) => market?,
        ended = &mut ending => {
            ended?;
            say("stopped before it had begun");
            return Ok(true);
        }
    };
    market.show(settings.seconds, ending).await
}

impl Market {
    async fn start(settings: &Settings, folder: &Path) -> Result<Self> {
        say("starting a nats-server with JetStream");
        let nats = NatsServer::builder().jetstream().start().await?;
        let url = nats.url();
        let bus = Bus::connect(&url).await?;
        life::declare(&bus, &market::stream(1)).await?;
        let database = settings
            .db
            .clone()
            .unwrap_or_else(|| folder.join("market.db"));
        Writer::open(&database)?;
        let ledgers = ["crypto", "fx"].map(|feed| folder.join(format!("{feed}.acknowledged")));
        let screen = Screen::start(&bus, &database, &ledgers).await?;

        let parts = Parts {
            folder,
            url: &url,
            database: &database,
        };
        let (seed, rate) = (settings.seed.to_string(), settings.rate.to_string());
        let arguments = ["--seed", &seed, "--rate", &rate];
        let mut exchange = parts.start("exchange", &arguments).await?;
        let simulated = exchange.said("listening on ").unwrap_or_default();
        // Should it die, the feeds look for it where it was.
        let port = simulated.rsplit(':').next().unwrap_or_default();
        exchange.add_arguments(["--port", port]);
        let mut others = Vec::new();
        for _ in 0..settings.recorders {
            others.push(parts.start("recorder", &parts.db()).await?);
        }
        others.push(parts.start("history", &parts.db()).await?);
        others.push(parts.start("indicators", &[]).await?);
        others.push(parts.start_python().await?);
        let mut market = Self {
            feeds: Vec::new(),
            others,
            exchange,
            watcher: bus.client(),
            screen,
            ledgers: ledgers.into(),
            database: database.clone(),
            nats,
        };
        market.start_feeds(settings, &parts, &simulated).await?;
        say(&settings.said());
        Ok(market)
    }

    /// Last of all, so that nothing is missed by what is not stored.
    async fn start_feeds(
        &mut self,
        settings: &Settings,
        parts: &Parts<'_>,
        simulated: &str,
    ) -> Result<()> {
        let symbols = settings.symbols.join(",");
        for (name, table, ledger) in [("crypto", "trades", 0), ("fx", "ticks", 1)] {
            let ledger = self.ledgers[ledger].display().to_string();
            let venue = format!("sim-{name}");
            // A database that is kept goes on where it stopped.
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
            self.feeds
                .push(parts.start(&format!("feed-{name}"), &arguments).await?);
        }
        Ok(())
    }

    async fn show(
        mut self,
        seconds: Option<u64>,
        ending: impl Future<Output = Result<()>> + Unpin,
    ) -> Result<bool> {
        let recorders = self.others.iter().filter(|part| part.name() == "recorder");
        let pids: Vec<String> = recorders.map(|part| part.pid().to_string()).collect();
        say(&format!(
            "all parts run; end a recorder if you like: kill -9 {}",
            pids.join(" ")
        ));
        let showing = self.watch(seconds);
        tokio::select! {
            shown = showing => shown?,
            ended = ending => ended?,
        }
        say("stopping: the feeds first, then what reads them; Ctrl-C again does not wait");
        tokio::spawn(async {
            if asked_to_end(false).await.is_ok() {
                // The parts end as their standard input does.
                std::process::exit(130);
            }
        });
        for feed in &mut self.feeds {
            feed.stop().await?;
        }
        let seen = self.settle().await?;
        self.screen.tables().await;
        for part in self.others.iter_mut().rev() {
            part.stop().await?;
        }
        self.exchange.stop().await?;
        let account = Account::of(&self.ledgers, &self.database)?;
        // The connection before the server: whoever loses a server says so.
        drop((self.screen, self.watcher));
        self.nats.stop()?;
        say(&format!(
            "published {} recorded {} python {} lost {}",
            account.published,
            account.recorded,
            seen.trades + seen.ticks,
            account.lost
        ));
        Ok(account.lost == 0)
    }

    /// A line a second; parts that have died are started again.
    async fn watch(&mut self, seconds: Option<u64>) -> Result<()> {
        let began = Instant::now();
        let mut turns = tokio::time::interval(Duration::from_secs(1));
        turns.tick().await;
        while seconds.is_none_or(|seconds| began.elapsed() < Duration::from_secs(seconds)) {
            turns.tick().await;
            for part in self
                .feeds
                .iter_mut()
                .chain(&mut self.others)
                .chain([&mut self.exchange])
            {
                part.revive().await?;
            }
            let seen = self.seen().await;
            self.screen.line(began.elapsed(), seen)?;
        }
        Ok(())
    }

    /// A typed call from Rust to Python.
    async fn seen(&self) -> Option<SeenReply> {
        self.watcher.seen(SeenRequest {}).timeout(ANSWER).await.ok()
    }

    /// Waits until the recorder and Python have everything.
    async fn settle(&mut self) -> Result<SeenReply> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let began = Instant::now();
            let account = Account::of(&self.ledgers, &self.database)?;
            let seen = self.seen().await.unwrap_or_default();
            let is_settled = account.lost == 0 && seen.trades + seen.ticks >= account.published;
            if is_settled || Instant::now() > deadline {
                return Ok(seen);
            }
            for part in &mut self.others {
                part.revive().await?;
            }
            tokio::time::sleep(LOOK.max(began.elapsed())).await;
        }
    }
}

/// What every part is told.
struct Parts<'a> {
    folder: &'a Path,
    url: &'a str,
    database: &'a Path,
}

impl Parts<'_> {
    fn db(&self) -> [&str; 2] {
        // A path that is no text is refused where it is given.
        ["--db", self.database.to_str().unwrap_or_default()]
    }

    /// The first time its packages are fetched, which takes a while.
    async fn start_python(&self) -> Result<Part> {
        let (folder, url) = (self.folder.to_path_buf(), self.url.to_owned());
        let command = spawn_blocking(move || watcher::command(&folder, &url)).await??;
        Part::start("python", command, self.folder).await
    }

    async fn start(&self, name: &str, arguments: &[&str]) -> Result<Part> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).args(arguments).env("NATS_URL", self.url);
        Part::start(name, command, self.folder).await
    }
}
