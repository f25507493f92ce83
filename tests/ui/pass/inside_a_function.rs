//! A handler inside of a function.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

#[test]
fn builds() {
    struct English;

    #[service]
    impl Greeter for English {
        async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
            Ok(HelloReply {
                message: request.name,
            })
        }
    }

    let _ = GreeterServer::new(English);
}
