//! A rolling upgrade: two versions of one service in one queue group, with clients of both versions.

use std::process::Command;

use micro_testkit::{NatsServer, Process};

use crate::server_process::PROCESS_TIMEOUT;

const OLD: &str = env!("CARGO_BIN_EXE_rolling-old");
const NEW: &str = env!("CARGO_BIN_EXE_rolling-new");

async fn start(nats: &NatsServer, program: &str, role: &str, line: &str) -> Process {
    let mut command = Command::new(program);
    command.arg(role).env("NATS_URL", nats.url());
    let process = Process::spawn(command).unwrap();
    process.wait_for_line(line, PROCESS_TIMEOUT).await.unwrap();
    process
}

async fn stop(mut process: Process) -> String {
    process.terminate().unwrap();
    let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
    assert!(status.success(), "{}", process.output());
    process.output()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_under_load_fails_no_call() {
    let nats = NatsServer::start().await.unwrap();
    let mut servers = Vec::new();
    for _ in 0..2 {
        servers.push(start(&nats, OLD, "serve", "ready").await);
    }
    let old_client = start(&nats, OLD, "call", "warm").await;
    let new_client = start(&nats, NEW, "call", "warm").await;
    // Each server is replaced after its successor serves. The sequence includes a rollback.
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
