//! The service through a re-export.
#![expect(
    unreachable_pub,
    unused_qualifications,
    reason = "as in a library, and with a path to resolve"
)]

use micro_runtime::{Context, Status, service};

mod api {
    pub mod v1 {
        pub use micro_ui_tests::greeter::*;
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
        Ok(api::v1::HelloReply {
            message: request.name,
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
}
