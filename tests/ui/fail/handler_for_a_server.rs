//! A handler that was not wrapped in its server.

use micro_runtime::{Bus, Context, Server, Status, service};
use micro_tests::greeter::{Greeter, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    Server::new(&Bus::in_process()).add(English);
}
