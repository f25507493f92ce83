//! A macro invocation among the handlers.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

macro_rules! say_hello {
    () => {
        async fn say_hello(&self, _: Context, _: HelloRequest) -> Result<HelloReply, Status> {
            Ok(HelloReply::default())
        }
    };
}

#[service]
impl Greeter for English {
    say_hello! {}
}

fn main() {
    let _ = GreeterServer::new(English);
}
