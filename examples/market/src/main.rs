//! The command line: without a command it starts the whole market; each part is a command of its own.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use market::Result;
use market::exchange::{Exchange, ExchangeSettings};
use market::feed::{self, FeedEvent, FeedSettings};
use market::history::RecordedHistory;
use market::indicators::MovingAverages;
use market::lifecycle::{READY, connect, print_line, shutdown_request};
use market::proto::{Tick, Trade};
use market::recorder::Recorder;
use market::replay::replay;
use market::store::Reader;
use market::stream::market_stream;
use market::supervisor::{self, MarketSettings};
use tracing_subscriber::EnvFilter;

/// A small market over NATS: feeds, a recorder, services, and a subscriber in Python.
///
/// Without a command it starts all of them with a nats-server of its own, and reports what they do.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    market: MarketOptions,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Args)]
struct MarketOptions {
    /// Ends after this many seconds; without it, Ctrl-C or SIGTERM ends.
    #[arg(long)]
    seconds: Option<u64>,
    /// Seed of the simulated exchanges: the same seed gives the same events.
    #[arg(long, default_value_t = 2016)]
    seed: u64,
    /// Events per second of each simulated exchange; the market's own rate is 100.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Database file, which stays; without it, one that is removed at the end.
    #[arg(long)]
    db: Option<PathBuf>,
    /// Keeps the folder of database and logs.
    #[arg(long)]
    keep: bool,
    /// Number of recorders that share the events.
    #[arg(long, default_value_t = 1)]
    recorders: u32,
    /// WebSocket of a real venue for the crypto feed, as in wss://ws-feed.exchange.coinbase.com.
    #[arg(long)]
    url: Option<String>,
    /// Name of that venue in events.
    #[arg(long, default_value = "coinbase")]
    venue: String,
    /// Symbols to subscribe to at that venue.
    #[arg(long, value_delimiter = ',', default_value = "BTC-USD,ETH-USD")]
    symbols: Vec<String>,
}

/// One part, on the nats-server at NATS_URL.
#[derive(Subcommand)]
enum Part {
    /// Simulates two exchanges on a WebSocket of 127.0.0.1.
    Exchange {
        #[arg(long, default_value_t = 2016)]
        seed: u64,
        #[arg(long, default_value_t = 500)]
        rate: u32,
        /// Port to listen on; 0 for a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        #[command(flatten)]
        common: CommonOptions,
    },
    /// Publishes the trades of a venue.
    FeedCrypto(FeedOptions),
    /// Publishes the ticks of a venue.
    FeedFx(FeedOptions),
    /// Writes every event into SQLite.
    Recorder(DatabaseOptions),
    /// Serves candles and ticks.
    History(DatabaseOptions),
    /// Serves and publishes moving averages.
    Indicators {
        #[command(flatten)]
        common: CommonOptions,
    },
    /// Reads the whole stream into a database, and prints its fingerprint.
    Replay {
        #[arg(long)]
        db: PathBuf,
        #[command(flatten)]
        common: CommonOptions,
    },
}

#[derive(Args)]
struct CommonOptions {
    /// Ends when standard input ends.
    #[arg(long, hide = true)]
    exit_on_stdin_eof: bool,
    /// Number of copies of the stream in a cluster.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
}

#[derive(Args)]
struct DatabaseOptions {
    /// Database file.
    #[arg(long)]
    db: PathBuf,
    #[command(flatten)]
    common: CommonOptions,
}

#[derive(Args)]
struct FeedOptions {
    /// WebSocket of a real venue with the protocol of Coinbase Exchange.
    #[arg(long, conflicts_with = "exchange")]
    url: Option<String>,
    /// URL of a simulated exchange; without it and --url the feed simulates one itself.
    #[arg(long)]
    exchange: Option<String>,
    /// Seed of the exchange that the feed simulates itself.
    #[arg(long, default_value_t = 2016)]
    seed: u64,
    /// Events per second of the exchange that the feed simulates itself.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Name of the real venue in events.
    #[arg(long, default_value = "coinbase")]
    venue: String,
    /// Symbols to subscribe to; a simulated exchange sends all without it.
    #[arg(long, value_delimiter = ',')]
    symbols: Vec<String>,
    /// Resumes after this event number of a simulated exchange.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// File for the ids of acknowledged events.
    #[arg(long)]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    common: CommonOptions,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The whole market has a nats-server of its own. If it is away, the status lines show that.
    init_logging(match arguments.part {
        None => "warn,micro_runtime::bus=error",
        Some(_) => "warn,market=info",
    });
    let result = match arguments.part {
        None => run_market(arguments.market).await,
        Some(part) => run_part(part).await.map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_line(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn init_logging(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| filter.into()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

async fn run_market(options: MarketOptions) -> Result<bool> {
    supervisor::run(MarketSettings {
        seconds: options.seconds,
        seed: options.seed,
        rate: options.rate,
        db: options.db,
        keep: options.keep,
        recorders: options.recorders.max(1),
        url: options.url,
        venue: options.venue,
        symbols: options.symbols,
    })
    .await
}

async fn run_part(part: Part) -> Result<()> {
    match part {
        Part::Exchange {
            seed,
            rate,
            port,
            common,
        } => {
            let settings = ExchangeSettings { seed, rate, port };
            run_exchange(settings, &common).await
        }
        Part::FeedCrypto(options) => run_feed::<Trade>("sim-crypto", options).await,
        Part::FeedFx(options) => run_feed::<Tick>("sim-fx", options).await,
        Part::Recorder(DatabaseOptions { db, common }) => run_recorder(&db, &common).await,
        Part::History(DatabaseOptions { db, common }) => run_history(&db, &common).await,
        Part::Indicators { common } => run_indicators(&common).await,
        Part::Replay { db, common } => run_replay(&db, &common).await,
    }
}

// Each part registers its shutdown signals first, before it connects and prints `READY`: a signal that
// arrives at any time after that ends it in order.

async fn run_exchange(settings: ExchangeSettings, common: &CommonOptions) -> Result<()> {
    let shutdown = shutdown_request(common.exit_on_stdin_eof)?;
    let exchange = Exchange::bind(settings).await?;
    print_line(&format!("listening on {}", exchange.url()?));
    print_line(READY);
    tokio::select! {
        () = exchange.run() => {}
        () = shutdown => {}
    }
    Ok(())
}

async fn run_recorder(db: &Path, common: &CommonOptions) -> Result<()> {
    let shutdown = shutdown_request(common.exit_on_stdin_eof)?;
    let bus = connect(&market_stream(common.replicas)).await?;
    let server = Recorder::open(db)?.start(&bus).await?;
    print_line(READY);
    shutdown.await;
    Ok(server.shutdown().await?)
}

async fn run_history(db: &Path, common: &CommonOptions) -> Result<()> {
    let shutdown = shutdown_request(common.exit_on_stdin_eof)?;
    let bus = connect(&market_stream(common.replicas)).await?;
    let server = RecordedHistory::open(db)?.start(&bus).await?;
    print_line(READY);
    shutdown.await;
    Ok(server.shutdown().await?)
}

async fn run_indicators(common: &CommonOptions) -> Result<()> {
    let shutdown = shutdown_request(common.exit_on_stdin_eof)?;
    let bus = connect(&market_stream(common.replicas)).await?;
    let averages = MovingAverages::new(&bus);
    averages.run(&bus, || print_line(READY), shutdown).await?;
    // Averages are not acknowledged: NATS has the last ones when this returns.
    Ok(bus.close().await?)
}

async fn run_replay(db: &Path, common: &CommonOptions) -> Result<()> {
    let bus = connect(&market_stream(common.replicas)).await?;
    let events = replay(&bus, db).await?;
    let fingerprint = Reader::open(db)?.fingerprint()?;
    print_line(&format!("replayed {events} events: {fingerprint}"));
    Ok(())
}

/// Publishes the events of a venue, or of an exchange that is simulated in this process.
async fn run_feed<E: FeedEvent>(simulated_venue: &str, options: FeedOptions) -> Result<()> {
    let shutdown = shutdown_request(options.common.exit_on_stdin_eof)?;
    let bus = connect(&market_stream(options.common.replicas)).await?;
    let is_simulated = options.url.is_none();
    let url = match (options.url, options.exchange) {
        (Some(url), _) | (None, Some(url)) => url,
        (None, None) => {
            let settings = ExchangeSettings {
                seed: options.seed,
                rate: options.rate,
                port: 0,
            };
            let exchange = Exchange::bind(settings).await?;
            let url = exchange.url()?;
            tokio::spawn(exchange.run());
            url
        }
    };
    let settings = FeedSettings {
        url,
        venue: match is_simulated {
            true => simulated_venue.to_owned(),
            false => options.venue,
        },
        symbols: options.symbols,
        is_simulated,
        after: options.after,
        ledger: options.ledger,
    };
    print_line(READY);
    let acknowledged = feed::run::<E>(&bus, settings, shutdown).await?;
    print_line(&format!("acknowledged {acknowledged}"));
    Ok(bus.close().await?)
}
