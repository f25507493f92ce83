//! A rolling upgrade: two versions of one service in one queue group, clients of both times.

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process};

const PATIENCE: Duration = Duration::from_secs(30);
const OLD: &str = env!("CARGO_BIN_EXE_rolling-old");
const NEW: &str = env!("CARGO_BIN_EXE_rolling-new");

async fn start(nats: &NatsServer, program: &str, what: &str, line: &str) -> Process {
    let mut command = Command::new(program);
    command.arg(what).env("NATS_URL", nats.url());
    let process = Process::spawn(command).unwrap();
    process.wait_for_line(line, PATIENCE).await.unwrap();
    process
}

async fn stop(mut process: Process) -> String {
    process.terminate().unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    assert!(status.success(), "{}", process.output());
    process.output()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_shows_no_error() {
    let nats = NatsServer::start().await.unwrap();
    let mut servers = Vec::new();
    for _ in 0..2 {
        servers.push(start(&nats, OLD, "serve", "ready").await);
    }
    let old_client = start(&nats, OLD, "call", "warm").await;
    let new_client = start(&nats, NEW, "call", "warm").await;
    // One by one, the new before the old, and back again: an upgrade may be rolled back.
    for program in [NEW, NEW, OLD, NEW] {
        let next = start(&nats, program, "serve", "ready").await;
        let previous = servers.remove(0);
        servers.push(next);
        stop(previous).await;
    }
    for client in [old_client, new_client] {
        let output = stop(client).await;
        assert!(!output.contains("error"), "{output}");
        assert!(output.contains("calls: "), "{output}");
    }
}
