//! The service of the example: the generated code and one handler.

use micro_runtime::{Context, Status, service};

/// What micro-build made of `proto/greeter.proto`.
pub mod greeter {
    micro_runtime::include_proto!("metrics.v1");
}

use greeter::{Greeter, HelloReply, HelloRequest};

/// Greets in English.
#[derive(Debug)]
pub struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _ctx: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        if request.name.is_empty() {
            return Err(Status::invalid_argument("the name is empty"));
        }
        Ok(HelloReply {
            message: format!("Hello, {}!", request.name),
        })
    }
}
