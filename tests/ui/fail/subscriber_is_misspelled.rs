//! A misspelled method of `Subscriber`, with its arguments in the wrong order.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_ui_tests::market::Trade;

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    async fn on_evnt(&self, trade: Trade, _: Context) -> Result<(), Status> {
        let _ = trade;
        Ok(())
    }
}

fn main() {}
