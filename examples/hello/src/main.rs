//! Run with `cargo run -p hello`: a service and its client in one process, and every reply printed.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::error::Error;

use clap::Parser;
use hello::English;
use hello::greeter::{GreeterClient, GreeterServer, HelloRequest};
use micro_runtime::{Bus, Server};

/// Calls a service and shows each call with its reply.
///
/// With NATS_URL set, service and client talk over that server; without it, inside this process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Names to greet
    #[arg(default_values_t = ["Ada".to_owned(), "Grace".to_owned(), String::new()])]
    names: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    hello::init_logging();
    let bus = match std::env::var("NATS_URL") {
        Ok(url) if !url.is_empty() => {
            println!("bus: NATS at NATS_URL");
            Bus::from_env().await?
        }
        _ => {
            println!("bus: inside this process (set NATS_URL to use a nats-server)");
            Bus::in_process()
        }
    };
    let server = Server::new(&bus)
        .add(GreeterServer::new(English))
        .start()
        .await?;
    let greeter: GreeterClient = bus.client();
    for name in arguments.names {
        match greeter.say_hello(HelloRequest { name: name.clone() }).await {
            Ok(reply) => println!("SayHello({name:?}) -> {:?}", reply.message),
            Err(status) => println!("SayHello({name:?}) -> {status}"),
        }
    }
    server.shutdown().await?;
    Ok(())
}
