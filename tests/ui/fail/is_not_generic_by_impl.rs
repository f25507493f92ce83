//! A handler with an argument of type `impl Trait`.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: impl Into<HelloRequest>) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.into().name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
