//! Run with `cargo run -p metrics-example`: a service, a client that calls it, and an endpoint from
//! which Prometheus scrapes the metrics of both.
#![expect(clippy::print_stdout, reason = "the output is the point of an example")]

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use clap::Parser;
use metrics_example::English;
use metrics_example::greeter::{GreeterClient, GreeterServer, HelloRequest};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use micro_runtime::{Bus, Server, shutdown_signal};

type BoxError = Box<dyn Error>;

/// Upper bounds of the histogram buckets for durations, in seconds.
const BUCKETS: [f64; 9] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1.0, 5.0,
];
/// Every how many calls the client sends an empty name, which the service rejects.
const CALLS_PER_ERROR: u64 = 5;
/// Maximum number of free ports that are tried until the exporter can bind one.
const MAX_BIND_ATTEMPTS: usize = 10;

/// Serves metrics.v1.Greeter, calls it, and lets Prometheus scrape the metrics of both.
///
/// With NATS_URL set, service and client talk over that server; without it, inside this process.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Port on 127.0.0.1 that Prometheus scrapes; 0 takes a free one
    #[arg(long, default_value_t = 9464)]
    port: u16,
    /// How many calls the client makes; without it, calls until the program ends
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    calls: u64,
    /// Time between two calls of the client, in milliseconds
    #[arg(long, default_value_t = 100)]
    interval_ms: u64,
    /// Ends after this many seconds; without it, Ctrl-C or SIGTERM ends
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    init_logging();
    // Registered before the first line is printed: a signal that follows it ends the program in order.
    let shutdown = shutdown_signal()?;
    // The recorder must be installed before the server starts and the client is created, since
    // both register their metrics then.
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
    let interval = Duration::from_millis(arguments.interval_ms);
    let calls = tokio::spawn(call_repeatedly(bus.client(), arguments.calls, interval));
    tokio::select! {
        () = shutdown => {}
        () = elapsed(arguments.seconds) => {}
    }
    calls.abort();
    server.shutdown().await?;
    println!("stopped");
    Ok(())
}

/// Starts the endpoint for Prometheus, and returns its address.
fn serve_metrics(port: u16) -> Result<SocketAddr, BoxError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let address = match port {
            // The exporter takes an address, not a listener. Another process may take the free port
            // between this lookup and the exporter's own bind, hence the attempts.
            0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?,
            port => (Ipv4Addr::LOCALHOST, port).into(),
        };
        let exporter = PrometheusBuilder::new()
            .with_http_listener(address)
            .set_buckets_for_metric(Matcher::Suffix("duration".into()), &BUCKETS)?;
        match exporter.install() {
            Ok(()) => return Ok(address),
            Err(BuildError::FailedToCreateHTTPListener(_))
                if port == 0 && attempts < MAX_BIND_ATTEMPTS => {}
            Err(error) => return Err(format!("cannot serve metrics at {address}: {error}").into()),
        }
    }
}

/// Calls the service at each interval, and prints how many calls failed.
async fn call_repeatedly(greeter: GreeterClient, calls: u64, interval: Duration) {
    let mut failed = 0;
    for number in 1..=calls {
        let name = match number % CALLS_PER_ERROR {
            0 => String::new(),
            _ => "Ada".to_owned(),
        };
        if greeter.say_hello(HelloRequest { name }).await.is_err() {
            failed += 1;
        }
        tokio::time::sleep(interval).await;
    }
    println!("{calls} calls made, {failed} of them failed");
}

/// Completes after this many seconds, or never.
async fn elapsed(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}
