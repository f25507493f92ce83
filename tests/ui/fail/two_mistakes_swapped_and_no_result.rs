//! Two errors: swapped arguments, and a reply that is not a `Result`.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, request: HelloRequest, _: Context) -> HelloReply {
        HelloReply { message: request.name }
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
