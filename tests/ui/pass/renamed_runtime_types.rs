//! The runtime's types under other names.

use micro_runtime::{Context as Ctx, Status as Error, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Ctx, request: HelloRequest) -> Result<HelloReply, Error> {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
