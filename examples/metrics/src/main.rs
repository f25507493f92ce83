//! Run with `cargo run -p metrics-example`: a service, a client that calls it, and what Prometheus
//! is told about both.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use clap::Parser;
use metrics_example::English;
use metrics_example::greeter::{GreeterClient, GreeterServer, HelloRequest};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use micro_runtime::{Bus, Server};

type BoxError = Box<dyn Error>;

/// Upper bounds of the times that are told apart, in seconds.
const BUCKETS: [f64; 9] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1.0, 5.0,
];
/// Every so many calls, the client sends an empty name, which the service refuses.
const FAULTY: u64 = 5;
/// How often a port is looked for that nobody else takes meanwhile.
const ATTEMPTS: usize = 10;

/// Serves metrics.v1.Greeter, calls it, and lets Prometheus scrape the numbers of both.
///
/// With NATS_URL set, service and client talk over that server; without it, inside this process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where Prometheus scrapes, on 127.0.0.1; 0 takes a free port
    #[arg(long, default_value_t = 9464)]
    port: u16,
    /// How many calls the client makes
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    calls: u64,
    /// How long the client rests between its calls, in milliseconds
    #[arg(long, default_value_t = 100)]
    rest_ms: u64,
    /// Ends after this many seconds; without it, Ctrl-C or SIGTERM ends
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    log();
    // First of all: the runtime asks for its counters when a server starts and a client is made.
    let address = serve_metrics(arguments.port)?;
    println!("metrics: http://{address}/metrics");
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
    let calling = tokio::spawn(call(bus.client(), arguments.calls, arguments.rest_ms));
    tokio::select! {
        asked = asked_to_end() => asked?,
        () = after(arguments.seconds) => {}
    }
    calling.abort();
    server.shutdown().await?;
    println!("stopped");
    Ok(())
}

/// Listens for Prometheus, and says where.
fn serve_metrics(port: u16) -> Result<SocketAddr, BoxError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let address = match port {
            // The exporter takes an address and not a listener, so a free port has to be found out.
            0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?,
            port => (Ipv4Addr::LOCALHOST, port).into(),
        };
        let exporter = PrometheusBuilder::new()
            .with_http_listener(address)
            .set_buckets_for_metric(Matcher::Suffix("duration".into()), &BUCKETS)?;
        match exporter.install() {
            Ok(()) => return Ok(address),
            Err(BuildError::FailedToCreateHTTPListener(_)) if port == 0 && attempts < ATTEMPTS => {}
            Err(error) => return Err(format!("cannot serve metrics at {address}: {error}").into()),
        }
    }
}

/// Calls again and again, and says what came of it.
async fn call(greeter: GreeterClient, calls: u64, rest_ms: u64) {
    let mut failed = 0;
    for number in 1..=calls {
        let name = match number % FAULTY {
            0 => String::new(),
            _ => "Ada".to_owned(),
        };
        if greeter.say_hello(HelloRequest { name }).await.is_err() {
            failed += 1;
        }
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
    println!("{calls} calls made, {failed} of them failed");
}

async fn after(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

/// Ready when somebody asks this process to end: Ctrl-C, or SIGTERM where there is one.
async fn asked_to_end() -> Result<(), BoxError> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
