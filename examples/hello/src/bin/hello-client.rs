//! Run with `cargo run -p hello --bin hello-client -- Ada`: one call to a hello-server per name.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use hello::greeter::{GreeterClient, HelloRequest};
use micro_runtime::Bus;

/// Calls SayHello of greeter.v1.Greeter once per name.
///
/// The connection is set by NATS_URL (default nats://127.0.0.1:4222), NATS_CREDS, NATS_USER and the
/// other variables of the `nats` tool.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Names to greet
    #[arg(required = true)]
    names: Vec<String>,
    /// How long to wait for each reply, in milliseconds
    #[arg(long, default_value_t = 5000)]
    timeout_ms: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    hello::init_logging();
    let bus = Bus::from_env().await?;
    let greeter: GreeterClient = bus.client();
    for name in arguments.names {
        let reply = greeter
            .say_hello(HelloRequest { name })
            .timeout(Duration::from_millis(arguments.timeout_ms))
            .await?;
        println!("{}", reply.message);
    }
    Ok(())
}
