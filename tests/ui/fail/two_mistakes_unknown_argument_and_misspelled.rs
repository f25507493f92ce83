//! Two errors: an unknown argument of `#[service]`, and a misspelled method name.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service(version = "1.0.0")]
impl Greeter for English {
    async fn say_helo(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
