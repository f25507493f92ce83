//! A handler without arguments.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: String::new() })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
