//! A constant among the handlers.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    const GREETING: &'static str = "Hello";

    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: format!("{}, {}!", Self::GREETING, request.name) })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
