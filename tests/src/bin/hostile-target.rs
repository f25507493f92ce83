//! A server that hostile peers attack, as a process of its own: its memory is measured from outside. `SayHello` replies
//! with what the server holds for its callers now.
#![expect(clippy::print_stdout, reason = "the test waits for the line")]

use std::error::Error;
use std::sync::{Arc, OnceLock};

use micro_runtime::{Bus, Context, RunningServer, Server, Status, service};
use micro_tests::behavior::BehaviorServer;
use micro_tests::greeter::{Greeter, GreeterServer, HelloReply, HelloRequest};
use micro_tests::json::MirrorServer;
use micro_tests::streams::StreamsServer;
use micro_tests::{BehaviorHandler, MirrorHandler, StreamsHandler};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// Replies with tasks, bytes, calls and streams, in this order.
#[derive(Clone)]
struct Holdings {
    server: Arc<OnceLock<RunningServer>>,
    streams: StreamsHandler,
}

#[service]
impl Greeter for Holdings {
    async fn say_hello(&self, _: Context, _: HelloRequest) -> Result<HelloReply, Status> {
        let tasks = Handle::current().metrics().num_alive_tasks();
        let stats = self.server.get().map(RunningServer::stats);
        let stats = stats.unwrap_or_default();
        let endpoints = stats.iter().flat_map(|one| &one.endpoints);
        let calls = endpoints.filter_map(|one| Some(one.data.as_ref()?.in_flight));
        // This call is one of them.
        let calls = calls.sum::<u64>().saturating_sub(1);
        // The budget is of the server, and so the same at each of its services.
        let bytes = stats
            .iter()
            .filter_map(|one| Some(one.data.as_ref()?.held_bytes));
        let (bytes, streams) = (bytes.max().unwrap_or(0), self.streams.live_calls());
        let message = format!("{tasks} {bytes} {calls} {streams}");
        Ok(HelloReply { message })
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::from_env().await?;
    let mut terminated = signal(SignalKind::terminate())?;
    let holdings = Holdings {
        server: Arc::default(),
        streams: StreamsHandler::default(),
    };
    let server = Server::new(&bus)
        .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
        .add(StreamsServer::new(holdings.streams.clone()))
        .add(MirrorServer::new(MirrorHandler))
        .add(GreeterServer::new(holdings.clone()))
        .start()
        .await?;
    let _ = holdings.server.set(server);
    println!("ready");
    terminated.recv().await;
    Ok(())
}
