//! An incomplete expression in a body; rustc reports it.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        let name = request.
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
