//! Unit tests of `timing.rs`.

use super::*;

/// Seconds at which a line was read, and the line.
const OUTPUT: &[(u64, &str)] = &[
    (
        0,
        "    Finished `test` profile [unoptimized] target(s) in 0.20s",
    ),
    (
        1,
        "     Running unittests src/lib.rs (target/debug/deps/micro_build-0d4c)",
    ),
    (1, "running 3 tests"),
    (
        3,
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s",
    ),
    (3, "     Running it/main.rs (target/debug/deps/it-77aa)"),
    (
        8,
        "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 5.00s",
    ),
    (8, "     Running tidy.rs (target/debug/deps/tidy-11bb)"),
    (
        8,
        "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    ),
    (8, "   Doc-tests micro_runtime"),
    (
        9,
        "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s",
    ),
    (
        11,
        "test result: ok. 6 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s",
    ),
];

fn read(binaries: &Binaries) -> Timing {
    let mut timing = Timing::default();
    timing.add_build(Duration::from_secs(40));
    for (second, line) in OUTPUT {
        timing.line(line, Duration::from_secs(*second), binaries);
    }
    timing.end(Duration::from_secs(12));
    timing
}

#[test]
fn each_binary_has_its_duration_and_its_counts() {
    let known = ("it-77aa".to_owned(), "micro-tests (test it)".to_owned());
    let timing = read(&Binaries::from([known]));
    assert_eq!(timing.passed(), 28);
    assert_eq!(
        timing.table(),
        [
            "       40 s  build",
            "        5 s  micro-tests (test it): 10 passed, 2 failed",
            "        4 s  micro_runtime (documentation): 11 passed",
            "        2 s  unittests src/lib.rs: 3 passed",
            "        0 s  1 others: 4 passed",
            ""
        ]
        .join("\n")
    );
}

#[test]
fn messages_of_cargo_name_the_binaries() {
    let check = |id: &str, kind: &str, target: &str, expected: &str| {
        let message = format!(
            r#"{{"reason":"compiler-artifact","package_id":"{id}","target":{{"kind":["{kind}"],"name":"{target}"}},"executable":"/work/target/debug/deps/{target}-12ab"}}"#
        );
        let expected = (format!("{target}-12ab"), expected.to_owned());
        assert_eq!(binary(&message), Some(expected), "{message}");
    };
    check(
        "path+file:///work/examples/market#0.1.0",
        "test",
        "it",
        "market (test it)",
    );
    check(
        "path+file:///work/tests#micro-tests@0.1.0",
        "test",
        "it",
        "micro-tests (test it)",
    );
    check(
        "path+file:///work/micro-build#0.1.0",
        "lib",
        "micro_build",
        "micro-build",
    );
    check(
        "path+file:///work/xtask#0.1.0",
        "bin",
        "xtask",
        "xtask (bin xtask)",
    );
}

#[test]
fn messages_without_a_binary_are_passed_over() {
    for line in [
        "",
        "error: no such thing",
        r#"{"reason":"build-finished","success":true}"#,
        r#"{"reason":"compiler-artifact","executable":null}"#,
    ] {
        assert_eq!(binary(line), None, "{line}");
    }
}
