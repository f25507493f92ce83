//! The arguments in the wrong order, with a stream among them.

use micro_runtime::{Context, Status, Streaming, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

struct Echo;

#[service]
impl Shapes for Echo {
    async fn unary(&self, _: Context, ping: Ping) -> Result<Pong, Status> {
        Ok(Pong { text: ping.text })
    }

    async fn server_streaming(&self, _: Context, _: Ping) -> Result<Streaming<Pong>, Status> {
        Ok(Streaming::from_iter([Pong::default()]))
    }

    async fn client_streaming(&self, _: Streaming<Ping>, _: Context) -> Result<Pong, Status> {
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

fn main() {
    let _ = ShapesServer::new(Echo);
}
