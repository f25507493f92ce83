//! Run with `cargo run -p outbox`: places orders, publishes their events, and compares both.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use micro_runtime::Bus;
use micro_testkit::NatsServer;
use outbox::proto::OrderPlaced;
use outbox::relay;
use outbox::relay::{Result, shop_stream};
use outbox::step::Step;
use outbox::store::Store;

/// A transactional outbox over SQLite and JetStream.
///
/// Without a command it places some orders with a nats-server of its own, publishes their events, and compares the
/// stream with the database.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Number of orders to place
    #[arg(long, default_value_t = 20)]
    orders: u32,
    #[command(subcommand)]
    part: Option<Part>,
}

/// One part, on the nats-server at NATS_URL.
#[derive(Subcommand)]
enum Part {
    /// Places one order, and publishes what is in the outbox
    Place {
        /// Database file
        #[arg(long)]
        db: PathBuf,
        /// Id of the order
        id: String,
        /// Goes no further than this step, until it is killed
        #[arg(long)]
        halt_at: Option<Step>,
    },
    /// Publishes what is in the outbox, and ends
    Drain {
        /// Database file
        #[arg(long)]
        db: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .init();
    let Arguments { orders, part } = Arguments::parse();
    match part {
        None => show(orders).await,
        Some(Part::Place { db, id, halt_at }) => {
            let store = Store::open(&db)?.with_hook(Box::new(move |step| halt(step, halt_at)));
            let store = Arc::new(store);
            let bus = connect().await?;
            place(&store, order(&id)).await?;
            relay::drain(&bus, &store).await?;
            Ok(())
        }
        Some(Part::Drain { db }) => {
            let store = Arc::new(Store::open(&db)?);
            let sent = relay::drain(&connect().await?, &store).await?;
            println!("published {sent}");
            Ok(())
        }
    }
}

/// Connects to the nats-server at NATS_URL, and declares the stream.
async fn connect() -> Result<Bus> {
    let bus = Bus::from_env().await?;
    bus.declare(&shop_stream()).await?;
    Ok(bus)
}

/// Places the order on a thread for blocking work.
async fn place(store: &Arc<Store>, order: OrderPlaced) -> Result<()> {
    let store = Arc::clone(store);
    Ok(tokio::task::spawn_blocking(move || store.place(&order)).await??)
}

fn order(id: &str) -> OrderPlaced {
    OrderPlaced {
        order_id: id.to_owned(),
        item: "coffee".to_owned(),
        quantity: 1,
    }
}

/// Goes no further than the step that was asked for, so that a test can kill the program there.
fn halt(step: Step, halt_at: Option<Step>) {
    if halt_at == Some(step) {
        println!("halted");
        let _ = std::io::stdout().flush();
        loop {
            std::thread::park();
        }
    }
}

/// Places orders while a relay publishes their events, and compares the stream with the database.
async fn show(orders: u32) -> Result<()> {
    let nats = NatsServer::builder().jetstream().start().await?;
    let bus = Bus::connect(nats.url()).await?;
    bus.declare(&shop_stream()).await?;
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Store::open(&folder.path().join("shop.db"))?);
    let (relay_bus, relay_store) = (bus.clone(), Arc::clone(&store));
    let relaying = tokio::spawn(async move { relay::run(&relay_bus, &relay_store).await });
    for number in 1..=orders {
        place(&store, order(&format!("order-{number}"))).await?;
    }
    // The same order again: the transaction fails, and so there is no second event.
    let again = place(&store, order("order-1")).await;
    println!("an order that exists already: {}", again.is_err());
    relaying.abort();
    relay::drain(&bus, &store).await?;
    println!("orders stored: {}", store.order_ids()?.len());
    println!(
        "events stored: {}",
        relay::stored_order_ids(&bus).await?.len()
    );
    Ok(())
}
