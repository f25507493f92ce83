//! A handler that is not `Sync`; rustc reports it.

use std::cell::Cell;

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

#[derive(Default)]
struct English {
    calls: Cell<u64>,
}

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        self.calls.set(self.calls.get() + 1);
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English::default());
}
