//! The program of the example, started as a newcomer starts it: alone, and twice on one nats-server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use micro_testkit::{NatsServer, Process, within};

/// Limit for one line to appear or one run to end, on a machine that is busy with other builds.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);

fn start(url: Option<&str>, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_discovery"));
    command.args(args).env_remove("NATS_URL");
    command.envs(url.map(|url| ("NATS_URL", url)));
    Process::spawn(command).unwrap()
}

async fn output_of(mut process: Process) -> String {
    let status = process.wait(PROCESS_TIMEOUT).await.unwrap();
    let output = process.output();
    assert!(status.success(), "{output}");
    output
}

async fn wait_for(process: &Process, line: &str) {
    process.wait_for_line(line, PROCESS_TIMEOUT).await.unwrap();
}

/// Returns the calls and errors of an instance, from the last table that was printed.
fn counters(output: &str, instance: &str) -> Option<(u64, u64)> {
    let is_row = |line: &&str| line.contains(instance) && line.contains("serving");
    let row = output.lines().rfind(is_row)?;
    let cells = row.split("  ").map(str::trim);
    let cells = cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
    Some((cells.get(5)?.parse().ok()?, cells.get(6)?.parse().ok()?))
}

#[tokio::test]
async fn the_shop_is_shown_without_a_nats_server() {
    let mut program = start(None, &["--interval-ms", "200"]);
    for line in [
        "bus: inside this process",
        "SERVICE",
        "shop-v1-Prices prices-1 joined",
        "shop-v1-Prices prices-2 joined",
        "shop-v1-Prices prices-2 left (Stopped)",
        "shop-v1-Stock   stock-1   0.1.0    serving",
    ] {
        wait_for(&program, line).await;
    }
    within(PROCESS_TIMEOUT, async {
        loop {
            let counters = counters(&program.output(), "prices-1");
            if counters.is_some_and(|(calls, errors)| calls > 10 && errors > 2 && errors < calls) {
                return;
            }
            // sleep: between two looks at the output, which grows without an event for each table.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    program.interrupt().unwrap();
    let output = output_of(program).await;
    assert!(output.ends_with("stopped\n"), "{output}");
}

#[tokio::test]
async fn it_ends_after_the_given_seconds() {
    let output = output_of(start(None, &["--seconds", "1"])).await;
    assert!(output.ends_with("stopped\n"), "{output}");
}

#[tokio::test]
async fn instances_of_another_process_are_shown() {
    let nats = NatsServer::start().await.unwrap();
    let url = nats.url();
    let mut shop = start(Some(&url), &["--demo"]);
    wait_for(&shop, "prices-1 joined").await;
    let observer = start(Some(&url), &["--interval-ms", "200"]);
    wait_for(&observer, "prices-1 joined").await;
    wait_for(&observer, "prices-2 left (Stopped)").await;
    shop.kill().unwrap();
    wait_for(&observer, "prices-1 left (Died)").await;
}

#[tokio::test]
async fn help_names_nats_url_and_every_option() {
    let output = output_of(start(None, &["--help"])).await;
    for word in ["NATS_URL", "--interval-ms", "--seconds", "--demo"] {
        assert!(output.contains(word), "{output}");
    }
}
