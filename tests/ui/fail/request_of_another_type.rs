//! A request of another type; rustc reports it.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, name: String) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
