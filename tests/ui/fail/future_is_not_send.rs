//! A handler whose future is not `Send`; rustc reports it.

use std::future::ready;
use std::rc::Rc;

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

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
