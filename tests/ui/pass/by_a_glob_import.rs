//! Everything by glob imports.

use micro_runtime::*;
use micro_ui_tests::greeter::*;

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
