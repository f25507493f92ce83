//! The service through a re-export.

use micro_runtime::{Context, Status, service};

mod api {
    pub mod v1 {
        pub use micro_tests::greeter::*;
    }
}

use api::v1::GreeterServer;

struct English;

#[service]
impl self::api::v1::Greeter for English {
    async fn say_hello(
        &self,
        _: Context,
        request: api::v1::HelloRequest,
    ) -> Result<api::v1::HelloReply, Status> {
        Ok(api::v1::HelloReply { message: request.name })
    }
}

fn main() {
    let _ = GreeterServer::new(English);
}
