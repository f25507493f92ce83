//! A plain impl of the trait.

use micro_runtime::{Context, Status};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
