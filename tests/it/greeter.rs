//! The service of the README, `greeter.v1.Greeter`.

use micro_runtime::{Bus, Context, RunningServer, Server, Status};
use micro_testkit::NatsServer;
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};

/// Handler that greets in English.
pub(crate) struct English;

impl Greeter for English {
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: format!("Hello, {}!", request.name),
        })
    }
}

/// Serves the greeter on a connection of its own.
pub(crate) async fn serve_greeter(nats: &NatsServer) -> RunningServer {
    let bus = Bus::connect(nats.url()).await.unwrap();
    let server = Server::new(&bus).add(GreeterServer::new(English));
    server.start().await.unwrap()
}
