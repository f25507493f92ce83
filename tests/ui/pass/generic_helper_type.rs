//! Messages behind a generic alias.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

type Of<T> = T;

#[service]
impl Greeter for English {
    async fn say_hello(
        &self,
        _: Context,
        request: Of<HelloRequest>,
    ) -> Result<Of<HelloReply>, Status> {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
