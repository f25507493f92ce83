//! The handler takes another event than it subscribes to, and the server asks for a third.

use micro_runtime::{Bus, Context, Server, Status, Subscriber, Subscription, service};
use micro_tests::market::{Closed, Order, Trade};

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    async fn on_event(&self, _: Context, _: Closed) -> Result<(), Status> {
        Ok(())
    }
}

fn main() {
    let _ = Server::new(&Bus::in_process())
        .subscribe::<Order>(Recorder, Subscription::broadcast());
}
