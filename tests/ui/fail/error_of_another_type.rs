//! An error type other than `Status`; rustc reports it.

use micro_runtime::{Context, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

struct TooShort;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, TooShort> {
        match request.name.len() {
            0 => Err(TooShort),
            _ => Ok(HelloReply { message: request.name }),
        }
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
