//! A shop with constant load, so that the table has something to show: clients that call without
//! pause, and one instance that stops and starts again.

use std::time::Duration;

use micro_runtime::{Bus, Context, Error, Server, ServiceOptions, Status, service};

use crate::shop::{Price, Prices, PricesClient, PricesServer};
use crate::shop::{Product, Quantity, Stock, StockClient, StockServer};

/// Products that the clients ask for; the empty name is an error, so that the table counts some.
const PRODUCTS: [&str; 4] = ["apple", "bread", "cheese", ""];
/// Time for which the second instance of `Prices` runs, and then stays stopped.
const RESTART_INTERVAL: Duration = Duration::from_secs(2);

struct PriceList;

#[service]
impl Prices for PriceList {
    async fn get_price(&self, _ctx: Context, product: Product) -> Result<Price, Status> {
        match product.name.len() {
            0 => Err(Status::invalid_argument("the product has no name")),
            length => Ok(Price {
                cents: 25 * length as u64,
            }),
        }
    }
}

struct Warehouse;

#[service]
impl Stock for Warehouse {
    async fn get_quantity(&self, _ctx: Context, product: Product) -> Result<Quantity, Status> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(Quantity {
            pieces: u32::try_from(product.name.len()).unwrap_or(u32::MAX),
        })
    }
}

/// Runs the shop until the future is dropped.
///
/// # Errors
///
/// If a service cannot be started.
pub async fn run(bus: &Bus) -> Result<(), Error> {
    let named = |id: &str| ServiceOptions::new().instance(id).metadata("zone", "demo");
    let _server = Server::new(bus)
        .readiness_check("database", || async { Ok(()) })
        .add_with(PricesServer::new(PriceList), named("prices-1"))
        .add_with(StockServer::new(Warehouse), named("stock-1"))
        .start()
        .await?;
    let _clients = [
        AbortOnDrop::spawn(call_prices(bus.client())),
        AbortOnDrop::spawn(call_stock(bus.client())),
    ];
    loop {
        let service = PricesServer::new(PriceList);
        let second = Server::new(bus)
            .add_with(service, named("prices-2"))
            .start()
            .await?;
        tokio::time::sleep(RESTART_INTERVAL).await;
        second.shutdown().await?;
        tokio::time::sleep(RESTART_INTERVAL).await;
    }
}

/// Task that is aborted when this handle is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl AbortOnDrop {
    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn call_prices(prices: PricesClient) {
    for name in PRODUCTS.iter().cycle() {
        let name = (*name).to_owned();
        let _ = prices.get_price(Product { name }).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn call_stock(stock: StockClient) {
    for name in PRODUCTS.iter().cycle() {
        let name = (*name).to_owned();
        let _ = stock.get_quantity(Product { name }).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
