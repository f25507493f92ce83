//! The method of `Subscriber` under another name, and in the wrong order.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_tests::market::Trade;

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    async fn on_evnt(&self, trade: Trade, _: Context) -> Result<(), Status> {
        let _ = trade;
        Ok(())
    }
}

fn main() {}
