//! Run with `cargo run -p discovery`: a live table of the services on a bus and their instances.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Parser;
use discovery::demo;
use discovery::table::Table;
use micro_runtime::discovery::{Discovery, Watch};
use micro_runtime::{Bus, shutdown_signal};
use tokio::time::MissedTickBehavior;

type BoxError = Box<dyn Error>;

/// Escape sequence that clears the terminal and moves the cursor to its first line.
const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";
/// Number of recent changes that a terminal shows below the table.
const MAX_CHANGES: usize = 8;

/// Shows the instances on a bus: which join, leave and fall silent, and their counters.
///
/// With NATS_URL set it shows that bus, with services of any library that follows ADR-32; without it,
/// a small shop inside this process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Time between two queries, in milliseconds
    #[arg(long, default_value_t = 1000)]
    interval_ms: u64,
    /// Runs the shop on the bus at NATS_URL too
    #[arg(long)]
    demo: bool,
    /// Ends after this many seconds; without it, Ctrl-C or SIGTERM ends
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    init_logging();
    // Registered before the first line is printed: a signal that follows it ends the program in order.
    let shutdown = shutdown_signal()?;
    let has_url = std::env::var("NATS_URL").is_ok_and(|url| !url.is_empty());
    let bus = match has_url {
        true => {
            println!("bus: NATS at NATS_URL");
            Bus::from_env().await?
        }
        false => {
            println!("bus: inside this process");
            Bus::in_process()
        }
    };
    let interval = Duration::from_millis(arguments.interval_ms.max(1));
    let watch = bus.discovery().watch().interval(interval).open().await?;
    let shop = async {
        match arguments.demo || !has_url {
            true => demo::run(&bus).await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = shop => ended?,
        ended = show_table(bus.discovery(), watch, interval) => ended?,
        () = shutdown => {}
        () = elapsed(arguments.seconds) => {}
    }
    println!("stopped");
    Ok(())
}

/// Draws the table at each change and at each interval.
async fn show_table(
    discovery: Discovery,
    mut watch: Watch,
    interval: Duration,
) -> Result<(), BoxError> {
    let is_terminal = io::stdout().is_terminal();
    let mut table = Table::default();
    let mut changes = Vec::new();
    let mut queries = tokio::time::interval(interval);
    queries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = watch.next() => match change {
                Some(change) => {
                    changes.push(table.apply(&change));
                    if !is_terminal {
                        println!("{}", changes.last().map_or("", String::as_str));
                    }
                }
                None => return Err("the connection is closed".into()),
            },
            _ = queries.tick() => {
                let (pongs, stats) = tokio::join!(discovery.ping(), discovery.stats());
                table.update(pongs?, stats?);
            }
        }
        let first = changes.len().saturating_sub(MAX_CHANGES);
        changes.drain(..first);
        if is_terminal {
            println!("{CLEAR_SCREEN}{}\n{}", table.render(), changes.join("\n"));
        } else {
            println!("{}", table.render());
        }
    }
}

/// Completes after this many seconds, or never.
async fn elapsed(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}
