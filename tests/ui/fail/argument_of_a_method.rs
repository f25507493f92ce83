//! A method's option as an argument of `#[service]`.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service(timeout = "5s")]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
