//! A message without a subject.

use micro_runtime::{Context, Status, Subscriber, service};
use micro_tests::greeter::HelloRequest;

struct Recorder;

#[service]
impl Subscriber<HelloRequest> for Recorder {
    async fn on_event(&self, _: Context, _: HelloRequest) -> Result<(), Status> {
        Ok(())
    }
}

fn main() {}
