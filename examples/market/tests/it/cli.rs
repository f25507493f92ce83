//! `cargo run -p market`, started as a newcomer starts it.

use std::process::Command;

use micro_testkit::{Process, within};

use crate::fixture::{PROCESS_TIMEOUT, TEST_TIMEOUT, pause};

fn market(arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_market"));
    command.args(arguments).env_remove("NATS_URL");
    Process::spawn(command).unwrap()
}

/// Returns the totals of the last line: published, recorded, counted by Python, lost.
fn totals(market: &Process) -> [u64; 4] {
    let output = market.stdout();
    let last = output.lines().last().unwrap();
    let words: Vec<&str> = last.split(' ').collect();
    let ["published", p, "recorded", r, "python", y, "lost", l] = words[..] else {
        panic!("{output}");
    };
    [p, r, y, l].map(|count| count.parse().unwrap())
}

/// Waits for a status line with more than this many published events.
async fn wait_for_published(market: &Process, events: u64) {
    let is_reached = |line: &str| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| *word != "published");
        let published = words.nth(1).and_then(|count| count.parse::<u64>().ok());
        published.is_some_and(|published| published > events)
    };
    while !market.stdout().lines().any(is_reached) {
        pause().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_four_seconds_loses_no_event() {
    within(TEST_TIMEOUT, async {
        let mut all = market(&["--seconds", "4", "--rate", "300", "--recorders", "2"]);
        let status = all.wait(TEST_TIMEOUT).await.unwrap();
        assert!(status.success(), "{}", all.output());
        let [published, recorded, python, lost] = totals(&all);
        assert!(published > 0, "{}", all.output());
        assert_eq!(
            [recorded, python, lost],
            [published, published, 0],
            "{}",
            all.output()
        );
        assert!(
            all.output().contains("received as a stream"),
            "{}",
            all.output()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_stops_in_order_and_the_next_run_resumes_the_database() {
    within(TEST_TIMEOUT, async {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("market.db");
        let mut rows = 0;
        for _ in 0..2 {
            let mut all = market(&["--rate", "200", "--db", database.to_str().unwrap()]);
            wait_for_published(&all, 500).await;
            all.interrupt().unwrap();
            let status = all.wait(TEST_TIMEOUT).await.unwrap();
            assert!(status.success(), "{}", all.output());
            let [published, recorded, python, lost] = totals(&all);
            assert!(published > 500, "{}", all.output());
            assert_eq!([python, lost], [published, 0], "{}", all.output());
            rows += published;
            assert_eq!(recorded, rows, "{}", all.output());
        }
    })
    .await;
}

#[tokio::test]
async fn help_names_the_parts_and_options() {
    let mut help = market(&["--help"]);
    assert!(help.wait(PROCESS_TIMEOUT).await.unwrap().success());
    for word in [
        "feed-crypto",
        "feed-fx",
        "recorder",
        "history",
        "replay",
        "--seconds",
        "--rate",
    ] {
        assert!(help.output().contains(word), "{word}: {}", help.output());
    }
}
