//! A `Subscriber` of a message that is not an event.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_ui_tests::greeter::HelloRequest;

struct Recorder;

#[service]
impl Subscriber<HelloRequest> for Recorder {
    async fn on_event(&self, _: Context, _: HelloRequest) -> Result<(), Status> {
        Ok(())
    }
}

fn main() {}
