//! A helper function among the handlers.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: self.decorated(request.name) })
    }

    fn decorated(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
