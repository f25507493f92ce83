//! Doc comments and other attributes on the impl and its method.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};
use tracing::instrument;

struct English;

/// Serves English.
#[service]
#[allow(clippy::unused_async, reason = "nothing to wait for")]
impl Greeter for English {
    /// Says hello.
    #[instrument(skip_all, fields(name = request.name))]
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
