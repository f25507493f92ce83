//! Generic handlers, one of which wraps another handler.

use std::fmt::Display;

use micro_runtime::{Context, Status, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

struct With<T, const N: usize>([T; N]);

#[service]
impl<T: Display, const N: usize> Greeter for With<T, N>
where
    T: Send + Sync + 'static,
{
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: format!("{}, {}!", self.0[0], request.name),
        })
    }
}

/// Wraps another handler.
struct Loud<G>(G);

#[service]
impl<G: Greeter> Greeter for Loud<G> {
    async fn say_hello(&self, ctx: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        let reply = self.0.say_hello(ctx, request).await?;
        Ok(HelloReply {
            message: reply.message.to_uppercase(),
        })
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(Loud(Loud(With(["Hello"]))));
}
