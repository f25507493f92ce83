//! A small market over NATS. Without a word it starts everything; each part is a word of its own.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use market::exchange::{Exchange, Settings as ExchangeSettings};
use market::feed::{self, Fed};
use market::history::Records;
use market::indicators::Averages;
use market::life::{READY, asked_to_end, join, say};
use market::market::stream;
use market::proto::{Tick, Trade};
use market::recorder::Recorder;
use market::replay::replay;
use market::store::Reader;
use market::{Result, show};
use tracing_subscriber::EnvFilter;

/// A small market over NATS: feeds, a recorder, services, and a subscriber in Python.
///
/// Without a command it starts all of them with a nats-server of its own, and shows what happens.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    all: All,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Args)]
struct All {
    /// Ends by itself after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Which simulated market: the same seed is the same market.
    #[arg(long, default_value_t = 2016)]
    seed: u64,
    /// Events a second of each simulated exchange; its own pace is 100.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// The database, which stays; without it one that is removed at the end.
    #[arg(long)]
    db: Option<PathBuf>,
    /// Keeps database and logs where they are.
    #[arg(long)]
    keep: bool,
    /// How many recorders share the work.
    #[arg(long, default_value_t = 1)]
    recorders: u32,
    /// The WebSocket of a real venue for the crypto feed, as in wss://ws-feed.exchange.coinbase.com.
    #[arg(long)]
    url: Option<String>,
    /// What that venue is called in events.
    #[arg(long, default_value = "coinbase")]
    venue: String,
    /// What to ask that venue for.
    #[arg(long, value_delimiter = ',', default_value = "BTC-USD,ETH-USD")]
    symbols: Vec<String>,
}

/// A part, on the nats-server of NATS_URL.
#[derive(Subcommand)]
enum Part {
    /// Simulates two exchanges on a WebSocket of 127.0.0.1.
    Exchange {
        #[arg(long, default_value_t = 2016)]
        seed: u64,
        #[arg(long, default_value_t = 500)]
        rate: u32,
        /// 0 for a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        #[command(flatten)]
        life: Life,
    },
    /// Publishes the trades of a venue.
    FeedCrypto(Feed),
    /// Publishes the ticks of a venue.
    FeedFx(Feed),
    /// Writes every event into SQLite.
    Recorder(OnDatabase),
    /// Serves candles and ticks.
    History(OnDatabase),
    /// Serves and publishes moving averages.
    Indicators {
        #[command(flatten)]
        life: Life,
    },
    /// Reads the whole stream into a database, and prints its fingerprint.
    Replay {
        #[arg(long)]
        db: PathBuf,
        #[command(flatten)]
        life: Life,
    },
}

#[derive(Args)]
struct Life {
    /// Ends when standard input does.
    #[arg(long, hide = true)]
    tied: bool,
    /// Copies of the stream.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
}

#[derive(Args)]
struct OnDatabase {
    #[arg(long)]
    db: PathBuf,
    #[command(flatten)]
    life: Life,
}

#[derive(Args)]
struct Feed {
    /// A real venue that speaks as Coinbase Exchange does.
    #[arg(long, conflicts_with = "exchange")]
    url: Option<String>,
    /// A simulated exchange; without it and --url the feed simulates one itself.
    #[arg(long)]
    exchange: Option<String>,
    /// Of the exchange that the feed simulates itself.
    #[arg(long, default_value_t = 2016)]
    seed: u64,
    /// Of the exchange that the feed simulates itself.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// What the real venue is called in events.
    #[arg(long, default_value = "coinbase")]
    venue: String,
    /// What to ask for; a simulated exchange tells all without it.
    #[arg(long, value_delimiter = ',')]
    symbols: Vec<String>,
    /// Begins behind this number of a simulated exchange.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// Writes the id of every acknowledged event there.
    #[arg(long)]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    life: Life,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Who shows all has a nats-server of its own, whose absence can be seen in the numbers.
    log(match arguments.part {
        None => "warn,micro_runtime::bus=error",
        Some(_) => "warn,market=info",
    });
    let done = match arguments.part {
        None => show_all(arguments.all).await,
        Some(part) => run(part).await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn log(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| filter.into()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

async fn show_all(all: All) -> Result<bool> {
    let settings = show::Settings {
        seconds: all.seconds,
        seed: all.seed,
        rate: all.rate,
        db: all.db,
        keep: all.keep,
        recorders: all.recorders.max(1),
        url: all.url,
        venue: all.venue,
        symbols: all.symbols,
    };
    show::run(settings).await
}

async fn run(part: Part) -> Result<()> {
    match part {
        Part::Exchange {
            seed,
            rate,
            port,
            life,
        } => {
            let exchange = Exchange::bind(ExchangeSettings { seed, rate, port }).await?;
            say(&format!("listening on {}", exchange.url()?));
            say(READY);
            tokio::select! {
                () = exchange.run() => Ok(()),
                ended = asked_to_end(life.tied) => ended,
            }
        }
        Part::FeedCrypto(feed) => publish::<Trade>("sim-crypto", feed).await,
        Part::FeedFx(feed) => publish::<Tick>("sim-fx", feed).await,
        Part::Recorder(OnDatabase { db, life }) => record(&db, &life).await,
        Part::History(OnDatabase { db, life }) => {
            let bus = join(&stream(life.replicas)).await?;
            let server = Records::open(&db)?.start(&bus).await?;
            say(READY);
            asked_to_end(life.tied).await?;
            Ok(server.shutdown().await?)
        }
        Part::Indicators { life } => {
            let bus = join(&stream(life.replicas)).await?;
            let end = asked_to_end(life.tied);
            Averages::new(&bus).run(&bus, || say(READY), end).await
        }
        Part::Replay { db, life } => {
            let bus = join(&stream(life.replicas)).await?;
            let events = replay(&bus, &db).await?;
            say(&format!(
                "replayed {events} events: {}",
                Reader::open(&db)?.fingerprint()?
            ));
            Ok(())
        }
    }
}

async fn record(db: &Path, life: &Life) -> Result<()> {
    let bus = join(&stream(life.replicas)).await?;
    let server = Recorder::open(db)?.start(&bus).await?;
    say(READY);
    asked_to_end(life.tied).await?;
    Ok(server.shutdown().await?)
}

/// Feeds from a venue, or from an exchange that is simulated right here.
async fn publish<E: Fed>(simulated: &str, feed: Feed) -> Result<()> {
    let bus = join(&stream(feed.life.replicas)).await?;
    let is_simulated = feed.url.is_none();
    let url = match (feed.url, feed.exchange) {
        (Some(url), _) | (None, Some(url)) => url,
        (None, None) => {
            let settings = ExchangeSettings {
                seed: feed.seed,
                rate: feed.rate,
                port: 0,
            };
            let exchange = Exchange::bind(settings).await?;
            let url = exchange.url()?;
            tokio::spawn(exchange.run());
            url
        }
    };
    let settings = feed::Settings {
        url,
        venue: if is_simulated {
            simulated.to_owned()
        } else {
            feed.venue
        },
        symbols: feed.symbols,
        is_simulated,
        after: feed.after,
        ledger: feed.ledger,
    };
    say(READY);
    let acknowledged = feed::run::<E>(&bus, settings, asked_to_end(feed.life.tied)).await?;
    say(&format!("acknowledged {acknowledged}"));
    Ok(())
}
