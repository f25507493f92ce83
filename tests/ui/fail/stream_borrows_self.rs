//! A reply stream that borrows the handler; rustc reports it.

use futures_util::{StreamExt, stream};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

struct Echo {
    texts: Vec<String>,
}

#[service]
impl Shapes for Echo {
    async fn unary(&self, _: Context, ping: Ping) -> Result<Pong, Status> {
        Ok(Pong { text: ping.text })
    }

    async fn server_streaming(
        &self,
        _: Context,
        _: Ping,
    ) -> Result<impl ReplyStream<Pong>, Status> {
        Ok(stream::iter(&self.texts).map(|text| Ok(Pong { text: text.clone() })))
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
    let _ = ShapesServer::new(Echo { texts: vec![] });
}
