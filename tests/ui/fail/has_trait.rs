//! `#[service]` on an impl without a trait.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{HelloReply, HelloRequest};

struct English;

#[service]
impl English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = English::say_hello;
}
