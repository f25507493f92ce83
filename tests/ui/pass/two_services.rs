//! Two services on one type.

use micro_runtime::{Context, Status, Streaming, service};
use micro_ui_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

#[derive(Clone)]
struct Everything;

#[service]
impl Greeter for Everything {
    #[rpc(timeout = "1s")]
    async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
        Ok(HelloReply {
            message: request.name,
        })
    }
}

#[service]
impl Shapes for Everything {
    #[rpc(timeout = "2s")]
    async fn unary(&self, _: Context, ping: Ping) -> Result<Pong, Status> {
        Ok(Pong { text: ping.text })
    }

    async fn server_streaming(&self, _: Context, _: Ping) -> Result<Streaming<Pong>, Status> {
        Ok(Streaming::from_iter([Pong::default()]))
    }

    async fn client_streaming(&self, _: Context, _: Streaming<Ping>) -> Result<Pong, Status> {
        Ok(Pong::default())
    }

    async fn bidirectional(
        &self,
        _: Context,
        _: Streaming<Ping>,
    ) -> Result<Streaming<Pong>, Status> {
        Ok(Streaming::from_iter([Pong::default()]))
    }
}

#[test]
fn builds() {
    let _ = GreeterServer::new(Everything);
    let _ = ShapesServer::new(Everything);
}
