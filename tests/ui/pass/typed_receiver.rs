//! `self: &Self`.
#![expect(
    clippy::needless_arbitrary_self_type,
    reason = "the long form is the case"
)]

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(
        self: &Self,
        _: Context,
        request: HelloRequest,
    ) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
