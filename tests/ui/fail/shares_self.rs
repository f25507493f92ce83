//! A handler that takes `&mut self`.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

#[derive(Default)]
struct English {
    calls: u64,
}

#[service]
impl Greeter for English {
    async fn say_hello(&mut self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        self.calls += 1;
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English::default());
}
