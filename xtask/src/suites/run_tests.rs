//! Unit tests of `run.rs`.

use super::*;
use crate::suites::timing::Timing;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_first_tier_is_the_default_only() {
    let check = |line: &str, chooses: bool| {
        assert_eq!(chooses_packages(&words(line)), chooses, "{line}");
    };
    check("", false);
    check("naming", false);
    check("--no-fail-fast", false);
    check("-p micro-build", true);
    check("-pmicro-build", true);
    check("--package=micro-build", true);
    check("--workspace", true);
    check("naming -- -p", false);
}

#[test]
fn arguments_follow_the_packages_of_the_first_tier() {
    let args = first_tier_args(&words("naming -- --nocapture"));
    assert_eq!(args.len(), 2 * FIRST_TIER.len() + 3);
    assert!(args.ends_with(&words("naming -- --nocapture")), "{args:?}");
    let args = first_tier_args(&words("-p xtask"));
    assert_eq!(args, words("-p xtask"));
}

#[test]
fn an_unknown_suite_lists_those_that_exist() {
    let error = named(&words("durable-cluster nonesuch")).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("there is no suite `nonesuch`; there are\n"),
        "{error}"
    );
    for suite in SLOW.iter().chain(SECOND_TIER) {
        assert!(error.contains(suite.about), "{error}");
    }
}

#[test]
fn each_suite_has_a_line_with_its_seconds() {
    let report = |name, result| Report {
        name,
        total: std::time::Duration::from_secs(61),
        timing: Timing::default(),
        result,
    };
    let reports = [report("one", Ok(())), report("two", Err("no".into()))];
    assert_eq!(
        table(&reports),
        "\nseconds per suite:\n   61 s  one\n   61 s  two (failed)\n\n"
    );
}
