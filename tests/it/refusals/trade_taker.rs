//! `TradeTaker`: a handler of events that takes each at once.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_tests::market::Trade;

/// Handler that takes every trade.
pub(crate) struct TradeTaker;

#[service]
impl Subscriber<Trade> for TradeTaker {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}
