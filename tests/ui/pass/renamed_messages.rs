//! Messages under other names.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{
    Greeter, GreeterServer, HelloReply as Reply, HelloRequest as Request,
};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: Request) -> Result<Reply, Status> {
        Ok(Reply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
