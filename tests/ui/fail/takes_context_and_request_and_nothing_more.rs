//! A handler with one argument too many.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest, loud: bool) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: if loud { request.name.to_uppercase() } else { request.name } })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
