//! A return type behind an alias.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

type Request = HelloRequest;
type Reply = Result<HelloReply, Status>;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: Request) -> Reply {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
