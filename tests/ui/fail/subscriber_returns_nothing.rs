//! A handler of events that returns nothing, and one that is not `async`.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_ui_tests::market::{Closed, Trade};

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    async fn on_event(&self, _: Context, trade: Trade) {
        let _ = trade;
    }
}

#[service]
impl Subscriber<Closed> for Recorder {
    fn on_event(&self, _: Context, _: Closed) -> Result<(), Status> {
        Ok(())
    }
}

fn main() {}
