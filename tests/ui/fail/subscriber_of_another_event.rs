//! A handler that takes another event than its `Subscriber` names, subscribed to a third.

use micro_runtime::{Bus, Context, Server, Status, Subscriber, Subscription, service};
use micro_ui_tests::market::{Closed, Order, Trade};

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
