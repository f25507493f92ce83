//! A running service `streams.v1.Streams` with its client, and the check that calls leak nothing.

use std::time::Duration;

use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::within;
use micro_tests::StreamsHandler;
use micro_tests::streams::{StreamsClient, StreamsServer};

/// Limit for the end of all that calls leave. An opening that was refused waits for the open timeout of 5 s whether a
/// second responder accepts it.
const IDLE_LIMIT: Duration = Duration::from_secs(9);

/// The running service, and a client of it on the same bus.
pub(crate) struct StreamsFixture {
    pub(crate) handler: StreamsHandler,
    pub(crate) server: RunningServer,
    pub(crate) client: StreamsClient,
    /// Number of live tasks of this runtime before the first call.
    tasks_at_start: usize,
}

impl StreamsFixture {
    pub(crate) async fn start(bus: &Bus) -> Self {
        Self::start_with(bus, |server| server).await
    }

    /// Starts the service on a server with settings.
    pub(crate) async fn start_with(bus: &Bus, set: impl FnOnce(Server) -> Server) -> Self {
        let handler = StreamsHandler::default();
        let server = Server::new(bus).add(StreamsServer::new(handler.clone()));
        Self {
            handler,
            server: set(server).start().await.unwrap(),
            client: bus.client(),
            tasks_at_start: live_tasks(),
        }
    }

    /// Allows for the task that writes the log lines which are held back for 30 s.
    pub(crate) fn expect_held_back_lines(&mut self) {
        self.tasks_at_start += 1;
    }

    /// Waits until no call has left a handler, a stream or a task, at the server or at the client.
    pub(crate) async fn wait_until_idle(&self) {
        let idle = async {
            while self.handler.live_calls() > 0 || live_tasks() > self.tasks_at_start {
                tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
            }
        };
        within(IDLE_LIMIT, idle).await;
    }
}

fn live_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}
