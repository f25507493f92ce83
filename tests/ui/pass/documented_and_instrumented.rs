//! Other attributes stay.

use tracing::instrument;
use micro_runtime::{Context, Status, service};
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct English;

/// Serves English.
#[service]
#[allow(clippy::unused_async, reason = "nothing to wait for")]
impl Greeter for English {
    /// Says hello.
    #[instrument(skip_all, fields(name = request.name))]
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
