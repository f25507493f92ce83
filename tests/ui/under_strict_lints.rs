//! An impl of a service under strict lints.

#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    unreachable_pub,
    elided_lifetimes_in_paths,
    unused_qualifications
)]

use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

/// Replies with the text of the request.
#[derive(Debug)]
pub struct Echo;

#[service]
impl Shapes for Echo {
    #[rpc(timeout = "1s")]
    async fn unary(&self, _: Context, ping: Ping) -> Result<Pong, Status> {
        Ok(Pong { text: ping.text })
    }

    async fn server_streaming(
        &self,
        _: Context,
        _: Ping,
    ) -> Result<impl ReplyStream<Pong>, Status> {
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
    let _ = ShapesServer::new(Echo);
}
