//! The example as a newcomer starts it, alone and beside another on one server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process};

const PATIENCE: Duration = Duration::from_secs(60);

fn start(url: Option<&str>, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_discovery"));
    command.args(args).env_remove("NATS_URL");
    command.envs(url.map(|url| ("NATS_URL", url)));
    Process::spawn(command).unwrap()
}

async fn output_of(mut process: Process) -> String {
    let status = process.wait(PATIENCE).await.unwrap();
    let output = process.output();
    assert!(status.success(), "{output}");
    output
}

#[tokio::test]
async fn one_command_shows_a_shop_without_a_server() {
    let output = output_of(start(None, &["--interval-ms", "200", "--seconds", "4"])).await;
    for said in [
        "bus: inside this process",
        "SERVICE",
        "shop-v1-Prices till-1 is there",
        "shop-v1-Prices till-2 is there",
        "shop-v1-Prices till-2 has left (Stopped)",
        "shop-v1-Stock   shelf-1   0.1.0    serving",
        "stopped",
    ] {
        assert!(output.contains(said), "no `{said}` in\n{output}");
    }
    let counted = |line: &&str| line.contains("till-1") && line.contains("serving");
    let last = output.lines().rfind(counted).unwrap();
    let cells = last
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty());
    let cells = cells.collect::<Vec<_>>();
    let [calls, errors] = [5, 6].map(|at: usize| cells[at].parse::<u64>().unwrap());
    assert!(calls > 10 && errors > 2 && errors < calls, "{last}");
}

#[tokio::test]
async fn it_shows_what_runs_elsewhere() {
    let nats = NatsServer::start().await.unwrap();
    let url = nats.url();
    let mut shop = start(Some(&url), &["--demo"]);
    shop.wait_for_line("till-1 is there", PATIENCE)
        .await
        .unwrap();
    let seen = start(Some(&url), &["--interval-ms", "200"]);
    seen.wait_for_line("till-1 is there", PATIENCE)
        .await
        .unwrap();
    seen.wait_for_line("till-2 has left (Stopped)", PATIENCE)
        .await
        .unwrap();
    shop.kill().unwrap();
    seen.wait_for_line("till-1 has left (Died)", PATIENCE)
        .await
        .unwrap();
}

#[tokio::test]
async fn help_says_how_to_run_it() {
    let output = output_of(start(None, &["--help"])).await;
    for word in ["NATS_URL", "--interval-ms", "--seconds", "--demo"] {
        assert!(output.contains(word), "{output}");
    }
}
