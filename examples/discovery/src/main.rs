//! Run with `cargo run -p discovery`: a live table of the services on a bus and their instances.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Parser;
use discovery::demo;
use discovery::table::Table;
use micro_runtime::Bus;
use micro_runtime::discovery::{Discovery, Watch};
use tokio::time::MissedTickBehavior;

type BoxError = Box<dyn Error>;

/// Clears the terminal and goes to its first line.
const HOME: &str = "\x1b[2J\x1b[H";
/// How many of the last changes are shown.
const CHANGES: usize = 8;

/// Shows who serves on a bus: who comes, goes and falls silent, and what they have counted.
///
/// With NATS_URL set it shows that bus, with services of any library that follows ADR-32; without it,
/// a small shop inside this process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How long between two looks, in milliseconds
    #[arg(long, default_value_t = 1000)]
    interval_ms: u64,
    /// Opens the shop on the bus at NATS_URL too
    #[arg(long)]
    demo: bool,
    /// Ends after this many seconds; without it, Ctrl-C ends
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let is_given = std::env::var("NATS_URL").is_ok_and(|url| !url.is_empty());
    let bus = match is_given {
        true => Bus::from_env().await?,
        false => Bus::in_process(),
    };
    println!(
        "bus: {}",
        if is_given {
            "NATS at NATS_URL"
        } else {
            "inside this process"
        }
    );
    let interval = Duration::from_millis(arguments.interval_ms.max(1));
    let watch = bus.discovery().watch().interval(interval).start().await?;
    let shop = async {
        match arguments.demo || !is_given {
            true => demo::run(&bus).await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        closed = shop => closed?,
        shown = show(bus.discovery(), watch, interval) => shown?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        () = after(arguments.seconds) => {}
    }
    println!("stopped");
    Ok(())
}

/// Draws the table again and again, and at each change.
async fn show(discovery: Discovery, mut watch: Watch, interval: Duration) -> Result<(), BoxError> {
    let is_terminal = std::io::stdout().is_terminal();
    let mut table = Table::default();
    let mut changes = Vec::new();
    let mut looks = tokio::time::interval(interval);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = watch.change() => match change {
                Some(change) => {
                    changes.push(table.change(&change));
                    if !is_terminal {
                        println!("{}", changes.last().map_or("", String::as_str));
                    }
                }
                None => return Err("the connection is closed".into()),
            },
            _ = looks.tick() => {
                let (pongs, stats) = tokio::join!(discovery.ping(), discovery.stats());
                table.measure(pongs?, stats?);
            }
        }
        let first = changes.len().saturating_sub(CHANGES);
        changes.drain(..first);
        if is_terminal {
            println!("{HOME}{}\n{}", table.render(), changes.join("\n"));
        } else {
            println!("{}", table.render());
        }
    }
}

async fn after(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}
