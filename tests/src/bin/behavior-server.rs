//! The service `behavior.v1.Behavior` as a process, for tests that stop or kill processes.
#![expect(clippy::print_stdout, reason = "the test waits for the line")]

use std::error::Error;
use std::time::Duration;

use micro_runtime::{Bus, Server};
use micro_tests::BehaviorHandler;
use micro_tests::behavior::BehaviorServer;
use tokio::signal::unix::{SignalKind, signal};
use tower::timeout::TimeoutLayer;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::from_env().await?;
    let mut terminated = signal(SignalKind::terminate())?;
    // A layer that changes nothing: a shutdown must not lose requests inside of layers either.
    let server = Server::new(&bus)
        .layer(TimeoutLayer::new(Duration::from_secs(60)))
        .add(BehaviorServer::new(BehaviorHandler::on(&bus)))
        .start()
        .await?;
    println!("ready");
    terminated.recv().await;
    server.shutdown().await?;
    Ok(())
}
