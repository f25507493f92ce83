//! `self: Arc<Self>`, for a task that outlives the call.
#![expect(unused_qualifications, reason = "the case has both spellings")]

use std::sync::Arc;

use micro_runtime::{Context, ReplyStream, Status, Streaming, service};
use micro_ui_tests::shapes::{Ping, Pong, Shapes, ShapesServer};

struct Echo {
    greeting: String,
}

impl Echo {
    async fn remember(self: Arc<Self>) -> String {
        self.greeting.clone()
    }
}

#[service]
impl Shapes for Echo {
    #[rpc(detached)]
    async fn unary(self: Arc<Self>, _: Context, Ping { text }: Ping) -> Result<Pong, Status> {
        tokio::spawn(Arc::clone(&self).remember());
        Ok(Pong {
            text: format!("{}, {text}!", self.greeting),
        })
    }

    async fn server_streaming(
        self: Arc<Self>,
        _: Context,
        _: Ping,
    ) -> Result<impl ReplyStream<Pong>, Status> {
        Ok(Streaming::from_iter([Pong {
            text: self.greeting.clone(),
        }]))
    }

    async fn client_streaming(&self, _: Context, _: Streaming<Ping>) -> Result<Pong, Status> {
        Ok(Pong::default())
    }

    async fn bidirectional(
        self: std::sync::Arc<Self>,
        _: Context,
        pings: Streaming<Ping>,
    ) -> Result<Streaming<Pong>, Status> {
        drop(pings);
        Ok(Streaming::from_iter([Pong {
            text: self.greeting.clone(),
        }]))
    }
}

#[test]
fn builds() {
    let _ = ShapesServer::new(Echo {
        greeting: "Hello".to_owned(),
    });
}
