//! The program is killed at each step of an order; rows and events agree afterwards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the figures of the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use micro_runtime::Bus;
use micro_testkit::{NatsServer, Process, within};
use outbox::relay::stored_order_ids;
use outbox::store::Store;

/// Maximum time for one step or one run, on a machine that is busy with other builds.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
/// Steps at which the program is killed, and whether the order is stored then.
const STEPS: [(&str, bool); 4] = [
    ("before-commit", false),
    ("after-commit", true),
    ("after-ack", true),
    ("before-mark", true),
];

fn start(nats: &NatsServer, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox"));
    command.args(args).env("NATS_URL", nats.url());
    Process::spawn(command).unwrap()
}

/// Kills the program at each step, so many times, and checks that each order that is stored has one event.
async fn kill_at_each_step(rounds: usize) {
    let nats = NatsServer::builder().jetstream().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("shop.db");
    let db = db.to_str().unwrap();
    let (mut committed, mut killed) = (BTreeSet::new(), 0);
    for round in 0..rounds {
        for (step, is_stored) in STEPS {
            let id = format!("{step}-{round}");
            let args = ["place", "--db", db, "--halt-at", step, &id];
            let mut process = start(&nats, &args);
            process
                .wait_for_line("halted", PROCESS_TIMEOUT)
                .await
                .unwrap();
            process.kill().unwrap();
            killed += 1;
            if is_stored {
                committed.insert(id);
            }
        }
    }
    let mut draining = start(&nats, &["drain", "--db", db]);
    let line = draining
        .wait_for_line("published ", PROCESS_TIMEOUT)
        .await
        .unwrap();
    assert!(
        draining.wait(PROCESS_TIMEOUT).await.unwrap().success(),
        "{line}"
    );
    let store = Store::open(Path::new(db)).unwrap();
    let orders = store.order_ids().unwrap();
    assert_eq!(orders.iter().cloned().collect::<BTreeSet<_>>(), committed);
    assert_eq!(store.unsent(1).unwrap(), []);
    let bus = Bus::connect(nats.url()).await.unwrap();
    let events = stored_order_ids(&bus).await.unwrap();
    assert_eq!(events.len(), orders.len(), "one event for each order");
    assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), committed);
    println!("{killed} kills, {} orders, as many events", orders.len());
}

#[tokio::test]
async fn rows_and_events_agree_wherever_the_program_is_killed() {
    within(Duration::from_secs(120), kill_at_each_step(3)).await;
}

#[tokio::test]
#[ignore = "slow: cargo xtask test --slow outbox"]
async fn rows_and_events_agree_after_a_hundred_kills_at_each_step() {
    within(Duration::from_secs(900), kill_at_each_step(100)).await;
}

#[tokio::test]
async fn the_example_stores_one_event_for_each_order() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox"));
    command.args(["--orders", "7"]).env_remove("NATS_URL");
    let mut process = Process::spawn(command).unwrap();
    for line in [
        "an order that exists already: true",
        "orders stored: 7",
        "events stored: 7",
    ] {
        process.wait_for_line(line, PROCESS_TIMEOUT).await.unwrap();
    }
    assert!(process.wait(PROCESS_TIMEOUT).await.unwrap().success());
}
