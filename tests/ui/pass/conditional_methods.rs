//! `#[cfg(…)]` on handlers and their options.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    #[cfg(debug_assertions)]
    #[rpc(timeout = "1m")]
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: request.name,
        })
    }

    #[cfg(not(debug_assertions))]
    #[rpc(timeout = "5s")]
    async fn say_hello(&self, _: Context, _: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply::default())
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
