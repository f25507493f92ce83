//! An alias in another module with the name of a message.

use micro_runtime::{Context, Status, service};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

mod api {
    pub type HelloReply = Result<micro_tests::greeter::HelloReply, micro_runtime::Status>;
}

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> api::HelloReply {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
