//! A handler that stays on its thread. The words are rustc's.

use std::future::ready;
use std::rc::Rc;

use micro_runtime::{Context, Status, service};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        let name = Rc::new(request.name);
        ready(()).await;
        Ok(HelloReply { message: name.to_string() })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
