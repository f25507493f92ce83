//! The runtime under another name.

use bus::{Context, Status, service};
use micro_runtime as bus;
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service(crate = bus)]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
