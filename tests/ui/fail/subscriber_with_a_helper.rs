//! A helper function beside the method of `Subscriber`.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_ui_tests::market::Trade;

struct Recorder;

#[service]
impl Subscriber<Trade> for Recorder {
    async fn on_event(&self, _: Context, _: Trade) -> Result<(), Status> {
        self.store()
    }

    fn store(&self) -> Result<(), Status> {
        Ok(())
    }
}

fn main() {}
