//! A program that publishes, serves or calls, and ends in the way that its last argument names:
//! `publish <core|durable> <events> <ending>`, `serve <ending>` or `call <timeout in ms>`. It writes warnings to
//! standard error.
#![expect(clippy::print_stdout, reason = "the test waits for the line")]

use std::env;
use std::error::Error;
use std::io;
use std::time::Duration;

use micro_runtime::jetstream::Durable;
use micro_runtime::{Bus, Context, Server, Status, Subscriber, Subscription, shutdown_signal};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use micro_tests::market::{Trade, TradeFilter};
use tracing::level_filters::LevelFilter;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["publish", kind, events, ending] => publish(kind, events.parse()?, ending).await,
        ["serve", ending] => serve(ending).await,
        ["call", timeout] => call(Duration::from_millis(timeout.parse()?)).await,
        _ => Err(format!("cannot do {arguments:?}").into()),
    }
}

/// Publishes trades with the numbers below `events`, and ends.
async fn publish(kind: &str, events: u64, ending: &str) -> Result<()> {
    let shutdown = match ending {
        "signal" => Some(shutdown_signal()?),
        _ => None,
    };
    let bus = Bus::from_env().await?;
    let publisher = bus.durable_publisher();
    for number in 0..events {
        let trade = Trade {
            venue: "sim".to_owned(),
            symbol: kind.to_owned(),
            number,
            ..Trade::default()
        };
        match kind {
            "core" => bus.publish(&trade).await?,
            "durable" => drop(publisher.publish(&trade).send().await?),
            _ => return Err(format!("no events are {kind}").into()),
        }
    }
    println!("published");
    match ending {
        "return" => {}
        "drop" => drop((publisher, bus)),
        "drop-and-go-on" => {
            drop((publisher, bus));
            std::future::pending::<()>().await;
        }
        "flush" => {
            publisher.flush().await?;
            bus.flush().await?;
        }
        "close" => {
            publisher.flush().await?;
            bus.close().await?;
        }
        "signal" => {
            if let Some(shutdown) = shutdown {
                shutdown.await;
            }
            publisher.flush().await?;
            bus.close().await?;
        }
        // SIGTERM ends it, as nothing has registered for it.
        "killed" => std::future::pending().await,
        _ => return Err(format!("no program ends by {ending}").into()),
    }
    Ok(())
}

/// Calls a handler that does not end, with this timeout.
async fn call(timeout: Duration) -> Result<()> {
    let bus = Bus::from_env().await?;
    let client: BehaviorClient = bus.client();
    let waiting = client.wait(BehaviorHandler::UNTIL_RELEASED);
    waiting.timeout(timeout).await?;
    Ok(())
}

struct Ignoring;

impl Subscriber<Trade> for Ignoring {
    async fn on_event(&self, _ctx: Context, _trade: Trade) -> std::result::Result<(), Status> {
        Ok(())
    }
}

/// Serves calls, events and durable events, calls itself, reads events and those that are stored, watches the bus, and
/// ends.
async fn serve(ending: &str) -> Result<()> {
    let shutdown = shutdown_signal()?;
    let bus = Bus::from_env().await?;
    let server = Server::new(&bus)
        .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
        .subscribe::<Trade>(Ignoring, Subscription::broadcast())
        .subscribe::<Trade>(Ignoring, Durable::named("ending"))
        .start()
        .await?;
    let mut trades = bus.subscribe::<Trade>(TradeFilter::new()).open().await?;
    let mut watch = bus.discovery().watch().open().await?;
    let mut replay = bus.replay::<Trade>().open().await?;
    tokio::spawn(async move { while trades.next().await.is_some() {} });
    tokio::spawn(async move { while watch.next().await.is_some() {} });
    tokio::spawn(async move { while replay.next().await.is_some() {} });
    let client: BehaviorClient = bus.client();
    client.echo(Blob::default()).await?;
    bus.publish(&Trade::default()).await?;
    println!("served");
    match ending {
        "return" => {}
        "drop" => drop((server, client, bus)),
        "close" => bus.close().await?,
        "shutdown" => server.shutdown().await?,
        "shutdown-and-close" => {
            server.shutdown().await?;
            bus.close().await?;
        }
        "signal" => {
            shutdown.await;
            println!("draining");
            server.shutdown().await?;
            println!("stopped");
        }
        // A handler that never ends holds up the stop.
        "wait" => {
            let waiting = client.wait(BehaviorHandler::UNTIL_RELEASED);
            let waiting = waiting.timeout(Duration::from_secs(600));
            let waiting = tokio::spawn(waiting.into_future());
            shutdown.await;
            println!("draining");
            server.shutdown().await?;
            let _ = waiting.await?;
        }
        _ => return Err(format!("no program ends by {ending}").into()),
    }
    Ok(())
}
