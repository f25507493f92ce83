//! Two errors: a missing method, and a stream in place of one reply.

use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

struct Echo;

#[service]
impl Shapes for Echo {
    async fn unary(&self, _: Context, _: Ping) -> Result<impl ReplyStream<Pong>, Status> {
        Ok(Streaming::from_iter([Pong::default()]))
    }

    async fn server_streaming(&self, _: Context, _: Ping) -> Result<Streaming<Pong>, Status> {
        Ok(Streaming::from_iter([Pong::default()]))
    }

    async fn client_streaming(&self, _: Context, _: Streaming<Ping>) -> Result<Pong, Status> {
        Ok(Pong::default())
    }
}

fn main() {
    let _ = ShapesServer::new(Echo);
}
