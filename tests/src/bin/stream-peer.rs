//! One end of streams as a process, for tests that kill processes: `serve <instance>`, or a client
//! that runs `read` (an item every 10 ms) or `idle` (an open stream without traffic).
#![expect(clippy::print_stdout, reason = "the test waits for the line")]

use std::env;
use std::error::Error;
use std::time::Duration;

use micro_runtime::{Bus, Server, ServiceOptions, StreamOptions};
use micro_tests::StreamsHandler;
use micro_tests::streams::{CountRequest, StreamsClient, StreamsServer};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::from_env().await?;
    let mut arguments = env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    let argument = arguments.next();
    match role.as_str() {
        "serve" => serve(&bus, argument.ok_or("no instance")?).await,
        role => call(&bus, role, argument).await,
    }
}

async fn serve(bus: &Bus, instance: String) -> Result<(), Box<dyn Error>> {
    let options = ServiceOptions::new().instance(instance);
    let service = StreamsServer::new(StreamsHandler::default());
    let server = Server::new(bus).add_with(service, options);
    let mut server = server.start().await?;
    println!("ready");
    Ok(server.stopped().await?)
}

async fn call(bus: &Bus, role: &str, heartbeat: Option<String>) -> Result<(), Box<dyn Error>> {
    let client: StreamsClient = bus.client();
    let seconds = heartbeat.as_deref().unwrap_or("5").parse::<u64>()?;
    let options = StreamOptions::new().heartbeat(Duration::from_secs(seconds));
    let request = match role {
        "read" => CountRequest {
            messages: u64::MAX,
            pause_us: 10_000,
            ..CountRequest::default()
        },
        "idle" => CountRequest {
            messages: 1,
            plan: "wait".to_owned(),
            ..CountRequest::default()
        },
        role => return Err(format!("no role `{role}`").into()),
    };
    let call = client.count(request).stream_options(options);
    let mut items = call.header("watch", "yes").await?;
    items.message().await?;
    println!("ready");
    while items.message().await?.is_some() {}
    Ok(())
}
