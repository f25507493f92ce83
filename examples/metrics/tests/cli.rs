//! The program of the example, started as a newcomer starts it and scraped as Prometheus does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Limit for one line to appear or one run to end, on a machine that is busy with other builds.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
/// Limit for the counters of all calls to appear in the scraped metrics.
const COUNTED_TIMEOUT: Duration = Duration::from_secs(30);

/// Lines of the scraped metrics after twenty calls, of which every fifth is rejected.
const SERIES: [&str; 12] = [
    r#"rpc_server_requests{method="metrics.v1.Greeter.SayHello"} 20"#,
    r#"rpc_server_errors{method="metrics.v1.Greeter.SayHello",code="INVALID_ARGUMENT"} 4"#,
    r#"rpc_server_duration_count{method="metrics.v1.Greeter.SayHello"} 20"#,
    r#"rpc_server_duration_bucket{method="metrics.v1.Greeter.SayHello",le="+Inf"} 20"#,
    r#"rpc_server_in_flight{method="metrics.v1.Greeter.SayHello"} 0"#,
    r#"rpc_server_shed{method="metrics.v1.Greeter.SayHello"} 0"#,
    r#"rpc_client_requests{method="metrics.v1.Greeter.SayHello"} 20"#,
    r#"rpc_client_errors{method="metrics.v1.Greeter.SayHello",code="INVALID_ARGUMENT"} 4"#,
    r#"rpc_client_duration_count{method="metrics.v1.Greeter.SayHello"} 20"#,
    r#"rpc_client_duration_bucket{method="metrics.v1.Greeter.SayHello",le="+Inf"} 20"#,
    r#"rpc_client_in_flight{method="metrics.v1.Greeter.SayHello"} 0"#,
    r#"rpc_client_retries{method="metrics.v1.Greeter.SayHello"} 0"#,
];

fn start(url: Option<&str>, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-example"));
    command.args(args).env_remove("NATS_URL");
    command.envs(url.map(|url| ("NATS_URL", url)));
    Process::spawn(command).unwrap()
}

/// Scrapes the address that the process has printed, over plain TCP.
async fn scrape(process: &Process) -> String {
    let line = process
        .wait_for_line("metrics: ", PROCESS_TIMEOUT)
        .await
        .unwrap();
    let address = line.strip_prefix("metrics: http://").unwrap();
    let address = address.strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    response
}

/// The server counts a call as ended after it has sent the reply, so the client can be ahead of it.
async fn scrape_until_all_calls_are_counted(process: &Process) {
    let mut response = String::new();
    let counted = async {
        loop {
            response = scrape(process).await;
            if SERIES.iter().all(|series| has_line(&response, series)) {
                return;
            }
        }
    };
    let is_counted = tokio::time::timeout(COUNTED_TIMEOUT, counted).await;
    let missing = SERIES.iter().filter(|series| !has_line(&response, series));
    let missing: Vec<_> = missing.collect();
    assert!(is_counted.is_ok(), "no {missing:#?} in\n{response}");
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

async fn check(url: Option<&str>, bus: &str) {
    let args = ["--port", "0", "--calls", "20", "--interval-ms", "1"];
    let mut process = start(url, &args);
    let made = "20 calls made, 4 of them failed";
    process.wait_for_line(bus, PROCESS_TIMEOUT).await.unwrap();
    process.wait_for_line(made, PROCESS_TIMEOUT).await.unwrap();
    scrape_until_all_calls_are_counted(&process).await;
    process.terminate().unwrap();
    let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
    assert!(status.success(), "{}", process.output());
    assert!(process.output().contains("stopped"));
}

#[tokio::test]
async fn client_and_server_metrics_are_exported_in_process() {
    check(None, "bus: inside this process").await;
}

#[tokio::test]
async fn client_and_server_metrics_are_exported_over_nats() {
    let nats = NatsServer::start().await.unwrap();
    check(Some(&nats.url()), "bus: NATS").await;
}

#[tokio::test]
async fn it_ends_after_the_given_seconds() {
    let mut process = start(None, &["--port", "0", "--seconds", "1"]);
    let status = within(PROCESS_TIMEOUT, process.wait(PROCESS_TIMEOUT))
        .await
        .unwrap();
    assert!(status.success(), "{}", process.output());
    assert!(process.output().contains("stopped"));
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_the_address() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut process = start(None, &["--port", &address.port().to_string()]);
    assert!(!process.wait(PROCESS_TIMEOUT).await.unwrap().success());
    let output = process.output();
    let expected = format!("cannot serve metrics at {address}");
    assert!(output.contains(&expected), "{output}");
}

#[tokio::test]
async fn help_names_nats_url_and_the_main_options() {
    let mut process = start(None, &["--help"]);
    assert!(process.wait(PROCESS_TIMEOUT).await.unwrap().success());
    let output = process.output();
    for word in ["NATS_URL", "--port", "--seconds"] {
        assert!(output.contains(word), "{output}");
    }
}
