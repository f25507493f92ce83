//! The behaving service in a process of its own, for tests that end processes.
#![expect(clippy::print_stdout, reason = "the test waits for the line")]

use std::error::Error;
use std::time::Duration;

use micro_runtime::{Bus, Server};
use micro_tests::Behaving;
use micro_tests::behavior::BehaviorServer;
use tokio::signal::unix::{SignalKind, signal};
use tower::timeout::TimeoutLayer;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::from_env().await?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Layers that let everything pass: what stops must not lose them either.
    let server = Server::new(&bus)
        .layer(TimeoutLayer::new(Duration::from_secs(60)))
        .add(BehaviorServer::new(Behaving::on(&bus)))
        .start()
        .await?;
    println!("ready");
    terminated.recv().await;
    server.shutdown().await?;
    Ok(())
}
