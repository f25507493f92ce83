//! A handler that returns a future instead of being `async`.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

#[service]
impl Greeter for English {
    fn say_hello(
        &self,
        _: Context,
        request: HelloRequest,
    ) -> impl Future<Output = Result<HelloReply, Status>> + Send {
        let message = request.name;
        async move { Ok(HelloReply { message }) }
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
