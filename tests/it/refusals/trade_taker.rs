//! `TradeTaker`: a handler of events that takes each at once, of two kinds.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_tests::market::{Closed, Trade};

/// Handler that takes every trade, and every other event of the market.
pub(crate) struct TradeTaker;

#[service]
impl Subscriber<Trade> for TradeTaker {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}

#[service]
impl Subscriber<Closed> for TradeTaker {
    async fn on_event(&self, _: Context, _: Closed) -> Result<(), Status> {
        Ok(())
    }
}
