//! The tables of what is tested when: the packages of the first tier, the suites of the second, and
//! the slow suites, which run by name only.

use crate::suites::suite::{Step, Suite};
use crate::suites::tool::{NATS_SERVER, PYTHON};

/// Name of the suite that tests [`FIRST_TIER`].
pub(crate) const FIRST_TIER_NAME: &str = "first-tier";

/// Packages that `cargo xtask test` tests: at most 10 minutes on two cores with nothing built, and
/// without Node, Go, Java or a browser. They are the `default-members` of the workspace.
pub(crate) const FIRST_TIER: &[&str] = &[
    "micro-instructions",
    "micro-build",
    "micro-editions",
    "micro-macros",
    "micro-runtime",
    "discovery",
    "hello",
    "market",
    "metrics-example",
    "middleware",
    "streams",
    "micro-tests",
    "micro-corpus",
    "micro-corpus-2021",
    "micro-testkit",
    "micro-ui-tests",
    "xtask",
];

/// Suites that `--full` adds, as `.ci/run` does: with the first tier at most 40 minutes, builds and
/// installations included.
pub(crate) const SECOND_TIER: &[Suite] = &[Suite {
    name: "fuzz",
    about: "the fuzz targets, which are workspaces of their own, compile",
    minutes: 3,
    tools: &[],
    steps: &[
        Step::CheckFuzzTargets(&["--manifest-path", "fuzz/Cargo.toml"]),
        Step::CheckFuzzTargets(&["--manifest-path", "micro-build/fuzz/Cargo.toml"]),
    ],
}];

/// Suites that `--slow NAME` runs: at most 30 minutes each. Their tests carry
/// `#[ignore = "slow: cargo xtask test --slow NAME"]`.
pub(crate) const SLOW: &[Suite] = &[
    Suite {
        name: "durable-cluster",
        about: "durable events while the leader of a cluster is killed under load",
        minutes: 5,
        tools: &[NATS_SERVER],
        steps: &[Step::Tests(&[
            "--package",
            "micro-tests",
            "--test",
            "it",
            "--",
            "--ignored",
            "--exact",
            "durable::crash::a_cluster_whose_leaders_are_killed_loses_and_duplicates_no_event",
        ])],
    },
    Suite {
        name: "market-cluster",
        about: "the market example while the leader of a cluster is killed under load",
        minutes: 5,
        tools: &[NATS_SERVER, PYTHON],
        steps: &[Step::Tests(&[
            "--package",
            "market",
            "--test",
            "it",
            "--",
            "--ignored",
            "--exact",
            "loss::no_event_is_lost_when_the_leader_of_a_cluster_is_killed",
        ])],
    },
    Suite {
        name: "bench",
        about: "clippy and the unit tests of the benchmarks, whose peers take long to build",
        minutes: 10,
        tools: &[],
        steps: &[
            Step::Clippy(&["--package", "micro-bench", "--all-targets"]),
            Step::Tests(&["--package", "micro-bench"]),
        ],
    },
];

/// Returns one line for each suite of a table: name, minutes and purpose.
pub(crate) fn list(suites: &[Suite]) -> String {
    let lines: Vec<String> = suites
        .iter()
        .map(|suite| {
            let Suite { name, minutes, .. } = suite;
            format!("  {name:16} about {minutes:2} min  {}", suite.about)
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
#[path = "tiers_tests.rs"]
mod tests;
