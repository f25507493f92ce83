//! Run with `cargo run -p middleware`: layers around calls, and what each of them does.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::future::join_all;
use governor::Quota;
use micro_runtime::{Bus, ClientOptions, RunningServer, Server, ServiceOptions, Status};
use middleware::English;
use middleware::greeter::{
    GreeterClient, GreeterServer, HelloReply, HelloRequest, SlowHelloRequest,
};
use middleware::layers::{
    AddBearerToken, CallLog, MAX_CONSECUTIVE_FAILURES, OPEN_DURATION, RateLimit,
    RequireBearerToken, circuit_breaker,
};
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;

type BoxError = Box<dyn Error>;

const TOKEN: &str = "sesame";
/// Maximum number of `SayHelloSlowly` calls that run at the same time.
const MAX_CONCURRENT_SLOW: usize = 2;
/// Time after which a `SayHelloSlowly` call is canceled.
const SLOW_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of `SayHelloRarely` calls that are accepted in a burst.
const RARE_BURST: NonZeroU32 = NonZeroU32::new(5).expect("it is not zero");
/// Time after which the quota of `SayHelloRarely` grows by one call.
const RARE_PERIOD: Duration = Duration::from_secs(10);

/// Puts middleware around a service and its client, and shows what each layer does.
///
/// With NATS_URL set, service and client talk over that server; without it, inside this process.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Arguments {} = Arguments::parse();
    init_logging();
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
    let english = Arc::new(English::default());
    let server = start_server(&bus, &english).await?;
    show_bearer_token(&bus).await;
    let greeter = client(&bus)?;
    show_timeout(&greeter).await;
    show_concurrency_limit(&greeter, &english).await;
    show_rate_limit(&greeter).await;
    let server = show_circuit_breaker(&bus, &greeter, server, &english).await?;
    server.shutdown().await?;
    Ok(())
}

/// Starts the service with layers around all calls of the server, of one service, and of one method.
/// The layer that is added first is the outermost.
async fn start_server(bus: &Bus, english: &Arc<English>) -> Result<RunningServer, BoxError> {
    let quota = Quota::with_period(RARE_PERIOD).ok_or("the period is zero")?;
    let rare_limit = RateLimit::new(quota.allow_burst(RARE_BURST));
    let slow_limit = ConcurrencyLimitLayer::new(MAX_CONCURRENT_SLOW);
    let options = ServiceOptions::new()
        .layer(RequireBearerToken::new(TOKEN))
        .method_layer("SayHelloSlowly", slow_limit)
        .method_layer("SayHelloSlowly", TimeoutLayer::new(SLOW_TIMEOUT))
        .method_layer("SayHelloRarely", rare_limit);
    let service = GreeterServer::from_arc(Arc::clone(english));
    let server = Server::new(bus).layer(CallLog).add_with(service, options);
    Ok(server.start().await?)
}

/// Creates a client with layers of its own.
fn client(bus: &Bus) -> Result<GreeterClient, BoxError> {
    let options = ClientOptions::new()
        .layer(circuit_breaker()?)
        .layer(AddBearerToken::new(TOKEN));
    Ok(bus.client_with(options))
}

async fn show_bearer_token(bus: &Bus) {
    println!("\nbearer token: a layer of the service checks the header `authorization`");
    let greeter: GreeterClient = bus.client();
    let result = greeter.say_hello(hello()).await;
    println!("  no token: {}", shown(&result));
    let call = greeter.say_hello(hello());
    let result = call.header("authorization", "Bearer please").await;
    println!("  a wrong token: {}", shown(&result));
    let call = greeter.say_hello(hello());
    let bearer = format!("Bearer {TOKEN}");
    let result = call.header("authorization", bearer).await;
    println!("  the right token: {}", shown(&result));
}

async fn show_timeout(greeter: &GreeterClient) {
    println!("\ntower::timeout: SayHelloSlowly is canceled after {SLOW_TIMEOUT:?}");
    let result = greeter.say_hello_slowly(slow_hello(60_000)).await;
    println!("  a call of a minute: {}", shown(&result));
    let result = greeter.say_hello_slowly(slow_hello(1)).await;
    println!("  a call of a millisecond: {}", shown(&result));
}

async fn show_concurrency_limit(greeter: &GreeterClient, english: &English) {
    println!("\ntower::limit: {MAX_CONCURRENT_SLOW} SayHelloSlowly run at a time, the others wait");
    let calls = (0..6).map(|_| async { greeter.say_hello_slowly(slow_hello(50)).await });
    let results = join_all(calls).await;
    let succeeded = results.iter().filter(|result| result.is_ok()).count();
    let max = english.max_running();
    println!("  6 calls at once: {succeeded} succeeded, at most {max} handlers ran at a time");
}

async fn show_rate_limit(greeter: &GreeterClient) {
    println!(
        "\ngovernor: SayHelloRarely accepts {RARE_BURST} calls, then one more every {RARE_PERIOD:?}"
    );
    let calls = (0..8).map(|_| async { greeter.say_hello_rarely(hello()).await });
    let results = join_all(calls).await;
    let succeeded = results.iter().filter(|result| result.is_ok()).count();
    println!("  8 calls at once: {succeeded} succeeded, the others failed:");
    for failed in results.iter().filter(|result| result.is_err()) {
        println!("    {}", shown(failed));
    }
}

async fn show_circuit_breaker(
    bus: &Bus,
    greeter: &GreeterClient,
    server: RunningServer,
    english: &Arc<English>,
) -> Result<RunningServer, BoxError> {
    println!(
        "\ncircuit breaker: a layer of the client opens after {MAX_CONSECUTIVE_FAILURES} failures in a row"
    );
    server.shutdown().await?;
    println!("  the server has stopped");
    for number in 1..=MAX_CONSECUTIVE_FAILURES + 2 {
        let result = greeter.say_hello(hello()).await;
        println!("  call {number}: {}", shown(&result));
    }
    let server = start_server(bus, english).await?;
    println!("  the server is back; the circuit stays open for {OPEN_DURATION:?}");
    tokio::time::sleep(OPEN_DURATION).await;
    let result = greeter.say_hello(hello()).await;
    println!("  the next call: {}", shown(&result));
    Ok(server)
}

fn hello() -> HelloRequest {
    HelloRequest { name: "Ada".into() }
}

fn slow_hello(milliseconds: u32) -> SlowHelloRequest {
    let name = "Ada".into();
    SlowHelloRequest { name, milliseconds }
}

fn shown(result: &Result<HelloReply, Status>) -> String {
    match result {
        Ok(reply) => reply.message.clone(),
        Err(status) => status.to_string(),
    }
}

fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
