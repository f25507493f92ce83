//! Two services on an in-process bus with faults, a client of each, and a record of what their handlers ran on.

use std::time::Duration;

use micro_runtime::faults::Faults;
use micro_runtime::middleware::Next;
use micro_runtime::{Bus, ClientOptions, RunningServer, Server, StreamOptions};
use micro_testkit::within;
use micro_tests::behavior::{BehaviorClient, BehaviorServer};
use micro_tests::streams::{StreamsClient, StreamsServer};
use micro_tests::{BehaviorHandler, StreamsHandler};
use prost::Message;

use crate::layered::{Handled, with_recording};

/// Time without a frame after which streams of both ends fail; longer than a busy machine keeps a stream from running.
/// After a third of it a PING is sent, which finds the loss of the last frame.
const IDLE_TIMEOUT: Duration = Duration::from_secs(6);

/// The running services, their clients, and the faults of their bus.
pub(super) struct Injected {
    pub(super) bus: Bus,
    pub(super) faults: Faults,
    pub(super) behavior: BehaviorHandler,
    pub(super) streams: StreamsHandler,
    pub(super) server: RunningServer,
    pub(super) client: BehaviorClient,
    pub(super) stream_client: StreamsClient,
    /// Encoded requests that handlers of unary methods ran on.
    pub(super) handled: Handled,
    tasks_at_start: usize,
}

impl Injected {
    /// Starts the services; `has_layer` puts a layer around the calls of the clients.
    pub(super) async fn start(seed: u64, has_layer: bool) -> Self {
        let (bus, faults) = Bus::in_process_with_faults(seed);
        let behavior = BehaviorHandler::on(&bus);
        let streams = StreamsHandler::default();
        let stream_options = StreamOptions::new()
            .idle_timeout(IDLE_TIMEOUT)
            .open_timeout(IDLE_TIMEOUT);
        let server = Server::new(&bus)
            .add(BehaviorServer::new(behavior.clone()))
            .add(StreamsServer::new(streams.clone()))
            .stream_options(stream_options);
        let (server, handled) = with_recording(server);
        let mut options = ClientOptions::new();
        options = options.stream_options(stream_options);
        if has_layer {
            options = options.layer(tower::layer::layer_fn(|next: Next| next));
        }
        Self {
            server: server.start().await.unwrap(),
            client: bus.client_with(options.clone()),
            stream_client: bus.client_with(options),
            bus,
            faults,
            behavior,
            streams,
            handled,
            tasks_at_start: live_tasks(),
        }
    }

    /// Returns the number of times that handlers of unary methods ran on this message.
    pub(super) fn runs_on(&self, message: &impl Message) -> usize {
        let encoded = message.encode_to_vec();
        let handled = self.handled.lock().unwrap();
        handled
            .iter()
            .filter(|payload| **payload == encoded)
            .count()
    }

    /// Allows for the task that writes the log lines which are held back for 30 s.
    pub(super) fn expect_held_back_lines(&mut self) {
        self.tasks_at_start += 1;
    }

    /// Waits until no call has left a handler, a stream or a task, at the server or at the client.
    pub(super) async fn wait_until_idle(&self) {
        let idle = async {
            while self.streams.live_calls() > 0
                || self.behavior.running() > 0
                || live_tasks() > self.tasks_at_start
            {
                tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
            }
        };
        within(5 * IDLE_TIMEOUT, idle).await;
    }
}

fn live_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Defines two tests for each named function that takes an [`Injected`]: the clients have a layer or none.
macro_rules! with_and_without_a_layer {
    ($($name:ident)*) => {
        mod without_a_layer {$(
            #[tokio::test]
            async fn $name() {
                let test = async {
                    super::$name(crate::injected::fixture::Injected::start(1, false).await).await;
                };
                micro_testkit::within(std::time::Duration::from_secs(120), test).await;
            }
        )*}

        mod with_a_layer {$(
            #[tokio::test]
            async fn $name() {
                let test = async {
                    super::$name(crate::injected::fixture::Injected::start(1, true).await).await;
                };
                micro_testkit::within(std::time::Duration::from_secs(120), test).await;
            }
        )*}
    };
}

pub(super) use with_and_without_a_layer;
