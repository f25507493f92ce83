//! `cargo run -p market`, as a newcomer types it.

use std::process::Command;

use micro_testkit::{Process, within};

use crate::world::{LIMIT, PATIENCE};

fn market(arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_market"));
    command.args(arguments).env_remove("NATS_URL");
    Process::spawn(command).unwrap()
}

/// The counts of the last line: published, recorded, seen by Python, lost.
fn counts(market: &Process) -> [u64; 4] {
    let output = market.stdout();
    let last = output.lines().last().unwrap();
    let words: Vec<&str> = last.split(' ').collect();
    let ["published", p, "recorded", r, "python", y, "lost", l] = words[..] else {
        panic!("{output}");
    };
    [p, r, y, l].map(|count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_ends_by_itself_and_loses_nothing() {
    within(LIMIT, async {
        let mut all = market(&["--seconds", "4", "--rate", "300", "--recorders", "2"]);
        let status = all.wait(LIMIT).await.unwrap();
        assert!(status.success(), "{}", all.output());
        let [published, recorded, python, lost] = counts(&all);
        assert!(published > 500, "{}", all.output());
        assert_eq!(
            [recorded, python, lost],
            [published, published, 0],
            "{}",
            all.output()
        );
        assert!(
            all.output().contains("came as a stream"),
            "{}",
            all.output()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_it_in_order_and_a_kept_database_goes_on() {
    within(LIMIT, async {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("market.db");
        let mut rows = 0;
        for _ in 0..2 {
            let mut all = market(&["--rate", "200", "--db", database.to_str().unwrap()]);
            all.wait_for_line("   2 s  published", LIMIT).await.unwrap();
            all.interrupt().unwrap();
            let status = all.wait(LIMIT).await.unwrap();
            assert!(status.success(), "{}", all.output());
            let [published, recorded, python, lost] = counts(&all);
            assert!(published > 0, "{}", all.output());
            assert_eq!([python, lost], [published, 0], "{}", all.output());
            rows += published;
            assert_eq!(recorded, rows, "{}", all.output());
        }
    })
    .await;
}

#[tokio::test]
async fn help_names_every_part() {
    let mut help = market(&["--help"]);
    assert!(help.wait(PATIENCE).await.unwrap().success());
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
