//! Run with `cargo run -p hello --bin hello-server`: serves until Ctrl-C or SIGTERM.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::error::Error;

use clap::Parser;
use hello::English;
use hello::greeter::GreeterServer;
use micro_runtime::{Bus, Server, shutdown_signal};

/// Serves greeter.v1.Greeter on a nats-server until Ctrl-C or SIGTERM, then drains.
///
/// The connection is set by NATS_URL (default nats://127.0.0.1:4222), NATS_CREDS, NATS_USER and the
/// other variables of the `nats` tool. RUST_LOG=debug shows more.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments {} = Arguments::parse();
    hello::init_logging();
    let bus = Bus::from_env().await?;
    // Registered before the service is announced: a signal that follows the line always drains. Not earlier, so that
    // one ends a program that waits for NATS.
    let shutdown = shutdown_signal()?;
    let mut server = Server::new(&bus)
        .add(GreeterServer::new(English))
        .start()
        .await?;
    println!("greeter.v1.Greeter is served; Ctrl-C stops");
    tokio::select! {
        () = shutdown => {}
        stopped = server.stopped() => return Ok(stopped?),
    }
    println!("draining");
    server.shutdown().await?;
    println!("stopped");
    Ok(())
}
