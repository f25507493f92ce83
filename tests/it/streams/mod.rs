//! Streams of all three kinds, over both carriers.

mod by_hand;
mod deadlines;
mod drops;
mod flow;
mod hostile;
mod kills;
mod kinds;
mod middleware;
mod places;
mod rough_servers;
mod sizes;
mod statuses;
mod stops;

use std::time::Duration;

use micro_runtime::{Bus, RunningServer, Server};
use micro_testkit::within;
use micro_tests::StreamsHandler;
use micro_tests::streams::{CountRequest, Item, StreamsClient, StreamsServer};

use crate::polling::until;

/// The service, running, and a client for it.
pub(crate) struct Scene {
    pub(crate) handler: StreamsHandler,
    pub(crate) server: RunningServer,
    pub(crate) client: StreamsClient,
    /// Of this runtime, before the first call.
    tasks: usize,
}

impl Scene {
    pub(crate) async fn on(bus: &Bus) -> Self {
        Self::with(bus, |server| server).await
    }

    pub(crate) async fn with(bus: &Bus, set: impl FnOnce(Server) -> Server) -> Self {
        let handler = StreamsHandler::default();
        let server = Server::new(bus).add(StreamsServer::new(handler.clone()));
        Self {
            handler,
            server: set(server).start().await.unwrap(),
            client: bus.client(),
            tasks: tasks(),
        }
    }

    /// Waits until nothing of any call is left, neither at the server nor at the client.
    pub(crate) async fn quiet(&self) {
        let quiet = async {
            while self.handler.live_calls() > 0 || tasks() > self.tasks {
                tokio::time::sleep(Duration::from_millis(1)).await; // sleep: between two looks
            }
        };
        within(Duration::from_secs(4), quiet).await;
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Asks for items of 16 bytes, and for what comes after them.
pub(crate) fn count(messages: u64, plan: &str) -> CountRequest {
    CountRequest {
        messages,
        size: 16,
        plan: plan.to_owned(),
        ..CountRequest::default()
    }
}

/// An item without data.
pub(crate) fn item(number: u64) -> Item {
    Item {
        number,
        ..Item::default()
    }
}

/// An item that says what the handler is to do.
pub(crate) fn plan(plan: &str) -> Item {
    Item {
        plan: plan.to_owned(),
        ..Item::default()
    }
}

/// An item with so much data.
pub(crate) fn heavy(number: u64, size: usize) -> Item {
    Item {
        number,
        data: vec![b'x'; size],
        ..Item::default()
    }
}
