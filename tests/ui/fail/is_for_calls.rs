//! An option of RPC methods on the handler of an event.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_ui_tests::market::Trade;

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    #[rpc(max_concurrent = 8)]
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        Ok(())
    }
}

fn main() {}
