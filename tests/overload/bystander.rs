//! `Bystander`: a server and its caller, with connections of their own, beside a burst to another server.

use std::time::{Duration, Instant};

use micro_runtime::{Bus, RunningServer, Server};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::{BehaviorClient, BehaviorServer, Blob};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Time between two calls.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) struct Bystander {
    client: BehaviorClient,
    _server: RunningServer,
    _bus: Bus,
}

impl Bystander {
    pub(crate) async fn start(runtime: &Runtime, url: &str) -> Self {
        let url = url.to_owned();
        let starting = async move {
            let bus = Bus::connect(&*url).await.unwrap();
            let handler = BehaviorHandler::on(&bus);
            let server = Server::new(&bus).add(BehaviorServer::new(handler));
            let server = server.start().await.unwrap();
            Self {
                client: Bus::connect(&*url).await.unwrap().client(),
                _server: server,
                _bus: bus,
            }
        };
        runtime.spawn(starting).await.unwrap()
    }

    /// Calls one after the other until the token is canceled; returns the p99 in microseconds.
    pub(crate) async fn p99_until(&self, ended: CancellationToken) -> f64 {
        let mut times = Vec::new();
        while !ended.is_cancelled() {
            let begun = Instant::now();
            self.client.echo(Blob::default()).await.unwrap();
            times.push(begun.elapsed());
            // sleep: the load of this caller.
            tokio::time::sleep(PAUSE).await;
        }
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        p99.as_secs_f64() * 1e6
    }
}
