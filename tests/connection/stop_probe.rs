//! `StopProbes`: servers that are stopped during a fault, with and without a call under way.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use micro_runtime::{Bus, ConnectionState, RunningServer, Server, Status};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use tokio::task::JoinHandle;

use crate::network::{Network, Side};

/// Grace period of the servers.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// A server whose handler runs, and one without any call, on connections of their own.
pub(crate) struct StopProbes {
    busy: StopProbe,
    idle: StopProbe,
}

struct StopProbe {
    bus: Bus,
    server: RunningServer,
    call: Option<JoinHandle<Result<Blob, Status>>>,
}

/// The end of one server.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) is_idle: bool,
    /// Whether the loss of the connection was known.
    pub(crate) was_connected: bool,
    pub(crate) took: Duration,
    /// Text of the error.
    pub(crate) outcome: Result<(), String>,
}

impl StopProbes {
    /// Starts both servers through the proxy of the service.
    pub(crate) async fn start(network: &Network, name: &str) -> Self {
        Self {
            busy: StopProbe::start(network, &format!("{name}-busy"), true).await,
            idle: StopProbe::start(network, &format!("{name}-idle"), false).await,
        }
    }

    /// Stops both at once.
    pub(crate) async fn stop(self) -> [Stop; 2] {
        tokio::join!(self.busy.stop(), self.idle.stop()).into()
    }
}

impl StopProbe {
    async fn start(network: &Network, prefix: &str, is_busy: bool) -> Self {
        let bus = network.connect(Side::Service).await;
        let bus = bus.with_prefix(prefix).unwrap();
        let handler = BehaviorHandler::default();
        let server = Server::new(&bus)
            .grace(GRACE)
            .add(BehaviorServer::new(handler.clone()));
        let server = server.start().await.unwrap();
        let call = match is_busy {
            true => Some(call(network, prefix, &handler).await),
            false => None,
        };
        Self { bus, server, call }
    }

    async fn stop(self) -> Stop {
        let was_connected = self.bus.state() == ConnectionState::Connected;
        let begun = Instant::now();
        let outcome = self.server.shutdown().await;
        let took = begun.elapsed();
        if let Some(call) = &self.call {
            call.abort();
        }
        Stop {
            is_idle: self.call.is_none(),
            was_connected,
            took,
            outcome: outcome.map_err(|error| error.to_string()),
        }
    }
}

/// Calls the server from a connection without a proxy; returns once its handler runs.
async fn call(
    network: &Network,
    prefix: &str,
    handler: &BehaviorHandler,
) -> JoinHandle<Result<Blob, Status>> {
    let bus = Bus::connect(network.nats.url()).await.unwrap();
    let client: BehaviorClient = bus.with_prefix(prefix).unwrap().client();
    let call = client.wait(BehaviorHandler::UNTIL_RELEASED);
    let call = tokio::spawn(call.timeout(Duration::from_secs(300)).into_future());
    while handler.running() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await; // sleep: polling interval
    }
    call
}
