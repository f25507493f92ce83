//! Run with `cargo run -p middleware`: layers around calls, and what each of them does.
#![expect(clippy::print_stdout, reason = "an example talks")]

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
use middleware::layers::{CarryToken, DemandToken, FAILURES, Log, REST, RateLimit, breaker};
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;

type BoxError = Box<dyn Error>;

const TOKEN: &str = "sesame";
/// So many slow greetings run at a time.
const AT_A_TIME: usize = 2;
/// A slow greeting that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(1);
/// So many rare greetings at once, and then one more every ten seconds.
const RARE: NonZeroU32 = NonZeroU32::new(5).expect("it is not zero");
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
    log();
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
    let server = serve(&bus, &english).await?;
    show_token(&bus).await;
    let greeter = client(&bus)?;
    show_timeout(&greeter).await;
    show_concurrency_limit(&greeter, &english).await;
    show_rate_limit(&greeter).await;
    let server = show_breaker(&bus, &greeter, server, &english).await?;
    server.shutdown().await?;
    Ok(())
}

/// The layers at the server: around all its calls, around one service's, around one method's. The
/// first that is added is the outermost.
async fn serve(bus: &Bus, english: &Arc<English>) -> Result<RunningServer, BoxError> {
    let quota = Quota::with_period(RARE_PERIOD).ok_or("the period is zero")?;
    let options = ServiceOptions::new()
        .layer(DemandToken::new(TOKEN))
        .method_layer("SayHelloSlowly", ConcurrencyLimitLayer::new(AT_A_TIME))
        .method_layer("SayHelloSlowly", TimeoutLayer::new(LONGEST))
        .method_layer("SayHelloRarely", RateLimit::new(quota.allow_burst(RARE)));
    let service = GreeterServer::from_arc(Arc::clone(english));
    let server = Server::new(bus).layer(Log).add_with(service, options);
    Ok(server.start().await?)
}

/// The layers at the client.
fn client(bus: &Bus) -> Result<GreeterClient, BoxError> {
    let options = ClientOptions::new()
        .layer(breaker()?)
        .layer(CarryToken::new(TOKEN));
    Ok(bus.client_with(options))
}

async fn show_token(bus: &Bus) {
    println!("\nbearer token: a layer of the service looks at the header `authorization`");
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
    println!("\ntower::timeout: SayHelloSlowly may take {LONGEST:?}");
    let result = greeter.say_hello_slowly(slow_hello(60_000)).await;
    println!("  a call of a minute: {}", shown(&result));
    let result = greeter.say_hello_slowly(slow_hello(1)).await;
    println!("  a call of a millisecond: {}", shown(&result));
}

async fn show_concurrency_limit(greeter: &GreeterClient, english: &English) {
    println!("\ntower::limit: SayHelloSlowly runs {AT_A_TIME} at a time, the others wait");
    let calls = (0..6).map(|_| async { greeter.say_hello_slowly(slow_hello(50)).await });
    let results = join_all(calls).await;
    let answered = results.iter().filter(|result| result.is_ok()).count();
    let most = english.most_at_a_time();
    println!("  6 calls at once: {answered} answered, the handler ran at most {most} at a time");
}

async fn show_rate_limit(greeter: &GreeterClient) {
    println!("\ngovernor: SayHelloRarely takes {RARE} calls, then one more every {RARE_PERIOD:?}");
    let calls = (0..8).map(|_| async { greeter.say_hello_rarely(hello()).await });
    let results = join_all(calls).await;
    let answered = results.iter().filter(|result| result.is_ok()).count();
    println!("  8 calls at once: {answered} answered, and the others");
    for refused in results.iter().filter(|result| result.is_err()) {
        println!("    {}", shown(refused));
    }
}

async fn show_breaker(
    bus: &Bus,
    greeter: &GreeterClient,
    server: RunningServer,
    english: &Arc<English>,
) -> Result<RunningServer, BoxError> {
    println!("\ncircuit breaker: a layer of the client opens after {FAILURES} failures in a row");
    server.shutdown().await?;
    println!("  the server has stopped");
    for number in 1..=FAILURES + 2 {
        let result = greeter.say_hello(hello()).await;
        println!("  call {number}: {}", shown(&result));
    }
    let server = serve(bus, english).await?;
    println!("  the server is back; the circuit rests for {REST:?}");
    tokio::time::sleep(REST).await;
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

fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
