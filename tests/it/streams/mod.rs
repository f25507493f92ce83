//! Streams of all three kinds, over both carriers.

mod kinds;

use micro_runtime::{Bus, RunningServer, Server};
use micro_tests::Scripted;
use micro_tests::streams::{StreamsClient, StreamsServer};

/// The service, running, and a client for it.
pub(crate) struct Scene {
    pub(crate) handler: Scripted,
    pub(crate) server: RunningServer,
    pub(crate) client: StreamsClient,
}

impl Scene {
    pub(crate) async fn on(bus: &Bus) -> Self {
        Self::with(bus, |server| server).await
    }

    pub(crate) async fn with(bus: &Bus, set: impl FnOnce(Server) -> Server) -> Self {
        let handler = Scripted::default();
        let server = Server::new(bus).add(StreamsServer::new(handler.clone()));
        Self {
            handler,
            server: set(server).start().await.unwrap(),
            client: bus.client(),
        }
    }
}
