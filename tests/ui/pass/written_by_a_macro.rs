//! Handlers written by a macro.

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

macro_rules! language {
    ($name:ident, $greeting:literal, $request:ty, $reply:ty) => {
        struct $name;

        #[service]
        impl Greeter for $name {
            async fn say_hello(&self, _: Context, request: $request) -> Result<$reply, Status> {
                Ok(HelloReply {
                    message: format!(concat!($greeting, ", {}!"), request.name),
                })
            }
        }
    };
}

language!(English, "Hello", HelloRequest, HelloReply);
language!(French, "Bonjour", HelloRequest, HelloReply);

#[test]
fn builds() {
    let _ = GreeterServer::new(English);
    let _ = GreeterServer::new(French);
}
