//! A handler that is not wrapped in its generated server.

use micro_runtime::{Bus, Context, Server, Status, service};
use micro_ui_tests::greeter::{Greeter, HelloReply, HelloRequest};

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
