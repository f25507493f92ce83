//! `?` on an error that does not convert into `Status`; rustc reports it.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        let greeting = std::env::var("GREETING")?;
        Ok(HelloReply { message: format!("{greeting}, {}!", request.name) })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
