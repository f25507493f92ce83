//! The service `behavior.v1.Behavior` in a process of its own, for tests that end it.

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process};

/// Limit for a process to start or to end, on a machine that is busy with other builds.
pub(crate) const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the service in a process of its own, and waits until it is reachable.
pub(crate) async fn start_server_process(nats: &NatsServer) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_behavior-server"));
    command.env("NATS_URL", nats.url());
    let process = Process::spawn(command).unwrap();
    process
        .wait_for_line("ready", PROCESS_TIMEOUT)
        .await
        .unwrap();
    process
}

/// Ends a process with SIGTERM; it must exit with code 0.
pub(crate) async fn stop_process(mut process: Process) {
    process.terminate().unwrap();
    let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
    assert!(status.success(), "{status}\n{}", process.output());
}
