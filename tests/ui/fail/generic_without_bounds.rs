//! A generic handler without `Send` and `Sync` bounds; rustc reports it.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct With<T>(T);

#[service]
impl<T> Greeter for With<T> {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(With(1));
}
