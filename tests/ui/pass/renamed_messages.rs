//! Messages under other names.

use micro_runtime::{Context, Status, service};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply as Answer, HelloRequest as Question};

struct English;

#[service]
impl Greeter for English {
    async fn say_hello(&self, _: Context, request: Question) -> Result<Answer, Status> {
        Ok(Answer { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
