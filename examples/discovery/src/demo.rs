//! A shop that is always busy, so that there is something to see: prices asked without pause, and an
//! instance that stops and starts again.

use std::time::Duration;

use micro_runtime::{Bus, Context, Error, Server, ServiceOptions, Status, service};

use crate::shop::{Amount, Price, Prices, PricesClient, PricesServer};
use crate::shop::{Stock, StockClient, StockServer, Thing};

const THINGS: [&str; 4] = ["apple", "bread", "cheese", ""];
/// How long an instance comes and goes for.
const PHASE: Duration = Duration::from_secs(2);

struct Till;

#[service]
impl Prices for Till {
    async fn ask(&self, _ctx: Context, thing: Thing) -> Result<Price, Status> {
        match thing.name.len() {
            0 => Err(Status::invalid_argument("the thing has no name")),
            length => Ok(Price {
                cents: 25 * length as u64,
            }),
        }
    }
}

struct Shelf;

#[service]
impl Stock for Shelf {
    async fn count(&self, _ctx: Context, thing: Thing) -> Result<Amount, Status> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(Amount {
            pieces: u32::try_from(thing.name.len()).unwrap_or(u32::MAX),
        })
    }
}

/// Keeps the shop open until it is dropped.
///
/// # Errors
///
/// If a service cannot be started.
pub async fn run(bus: &Bus) -> Result<(), Error> {
    let named = |id: &str| ServiceOptions::new().instance(id).metadata("zone", "demo");
    let _always = Server::new(bus)
        .readiness_check("scale", || async { Ok(()) })
        .add_with(PricesServer::new(Till), named("till-1"))
        .add_with(StockServer::new(Shelf), named("shelf-1"))
        .start()
        .await?;
    let customers = [
        tokio::spawn(ask_prices(bus.client())),
        tokio::spawn(count_stock(bus.client())),
    ];
    let customers = customers.map(|customer| Customer(customer.abort_handle()));
    loop {
        let second = PricesServer::new(Till);
        let second = Server::new(bus)
            .add_with(second, named("till-2"))
            .start()
            .await?;
        tokio::time::sleep(PHASE).await;
        second.shutdown().await?;
        tokio::time::sleep(PHASE).await;
        // Alive as long as this future is.
        let _ = &customers;
    }
}

/// Goes home when the shop closes.
struct Customer(tokio::task::AbortHandle);

impl Drop for Customer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn ask_prices(prices: PricesClient) {
    for name in THINGS.iter().cycle() {
        let name = (*name).to_owned();
        // Who asks for nothing is refused, and the table counts that.
        let _ = prices.ask(Thing { name }).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn count_stock(stock: StockClient) {
    for name in THINGS.iter().cycle() {
        let name = (*name).to_owned();
        let _ = stock.count(Thing { name }).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
