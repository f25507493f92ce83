//! A return type behind an alias.

use micro_runtime::{Context, Status, service};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

type Question = HelloRequest;
type Answer = Result<HelloReply, Status>;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: Question) -> Answer {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
