//! Patterns as arguments.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(
        &self,
        _: Context,
        HelloRequest { name, .. }: HelloRequest,
    ) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: name })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
