//! An alias of `Result`.

use micro_runtime::{Context, Status, service};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

type Answer<T> = Result<T, Status>;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Answer<HelloReply> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
