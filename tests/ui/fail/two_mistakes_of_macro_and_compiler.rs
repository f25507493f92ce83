//! Two errors: a missing `async` from the macro, and a type mismatch from rustc.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        let name: u32 = request.name;
        Ok(HelloReply { message: name.to_string() })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
