//! A return type alias in another module, named like a message.

use micro_runtime::{Context, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

mod api {
    pub(super) type HelloReply = Result<micro_ui_tests::greeter::HelloReply, micro_runtime::Status>;
}

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> api::HelloReply {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
