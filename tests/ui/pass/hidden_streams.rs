//! Reply streams of type `impl Trait`.

use futures_util::{Stream, StreamExt, stream};
use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

struct Echo;

#[service]
impl Shapes for Echo {
    async fn unary(&self, _: Context, ping: Ping) -> Result<Pong, Status> {
        Ok(Pong { text: ping.text })
    }

    async fn server_streaming(
        &self,
        _: Context,
        ping: Ping,
    ) -> Result<impl ReplyStream<Pong>, Status> {
        Ok(stream::iter([ping]).map(|ping| Ok(Pong { text: ping.text })))
    }

    async fn client_streaming(&self, _: Context, _: Streaming<Ping>) -> Result<Pong, Status> {
        Ok(Pong::default())
    }

    async fn bidirectional(
        &self,
        _: Context,
        pings: Streaming<Ping>,
    ) -> Result<impl Stream<Item = Result<Pong, Status>> + Send + 'static, Status> {
        Ok(pings.map(|ping| Ok(Pong { text: ping?.text })))
    }
}

#[test]
fn builds() {
    let _ = ShapesServer::new(Echo);
}
