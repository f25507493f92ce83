//! `detached` on a method with a reply stream.

use micro_runtime::{Context, Status, Streaming, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

struct Echo;

#[service]
impl Shapes for Echo {
    async fn unary(&self, _: Context, ping: Ping) -> Result<Pong, Status> {
        Ok(Pong { text: ping.text })
    }

    #[rpc(detached)]
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

fn main() {
    let _ = ShapesServer::new(Echo);
}
