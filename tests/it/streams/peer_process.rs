//! The program `stream-peer`: one end of streams in a process that tests kill or suspend.

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process};

/// Starts the program, and does not wait until it is ready.
pub(super) fn spawn(nats: &NatsServer, arguments: &[&str]) -> Process {
    Process::spawn(command(nats, arguments)).unwrap()
}

/// Starts the program on a bus with the prefix, and waits until it is ready.
pub(super) async fn start_with_prefix(
    nats: &NatsServer,
    prefix: &str,
    arguments: &[&str],
) -> Process {
    let mut command = command(nats, arguments);
    command.env("MICRO_PREFIX", prefix);
    let process = Process::spawn(command).unwrap();
    wait_until_ready(&process).await;
    process
}

/// Starts the program, and waits until it is ready.
pub(super) async fn start(nats: &NatsServer, arguments: &[&str]) -> Process {
    let process = spawn(nats, arguments);
    wait_until_ready(&process).await;
    process
}

pub(super) async fn wait_until_ready(process: &Process) {
    let limit = Duration::from_secs(30);
    process.wait_for_line("ready", limit).await.unwrap();
}

/// Sends the signal with this `kill` option, as in `-STOP`.
pub(super) fn send_signal(process: &Process, option: &str) {
    let pid = process.pid().to_string();
    let status = Command::new("kill").args([option, &pid]).status().unwrap();
    assert!(status.success());
}

fn command(nats: &NatsServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-peer"));
    command.args(arguments).env("NATS_URL", nats.url());
    command
}
