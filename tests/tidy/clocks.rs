//! The runtime has one clock, tokio's, which tests can pause. Real time is read in a few places, and no thread waits.
//!
//! A time of another clock that is compared with a timer, a deadline or a time of tokio's goes wrong only where time is
//! paused: a deadline never comes, or has passed at once.

use crate::source::{Source, has_word};

/// Folders in which the rule holds.
const CHECKED: &str = "micro-runtime/src/";

/// Names that measure real time, or wait for it: the statement has all of a row's words.
const REAL_TIME: &[(&[&str], &str)] = &[
    (
        &["std::time::", "Instant"],
        "`tokio::time::Instant` is the clock of the runtime",
    ),
    (
        &["SystemTime"],
        "`tokio::time::Instant` is the clock of the runtime",
    ),
    (&["thread::sleep("], "`tokio::time::sleep` lets time pass"),
    (&["thread::park_timeout("], "wait for an event in a task"),
    (&["wait_timeout("], "wait for an event in a task"),
    (&["recv_timeout("], "wait for an event in a task"),
    (&["spin_loop("], "wait for an event in a task"),
];

/// Files that read real time, what they read, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "execute/poll_cost.rs",
        "std::time::",
        "the cost of a poll, during which paused time stands still",
    ),
    ("discovery/date.rs", "SystemTime", "a date to show"),
    (
        "dispatch/introspection.rs",
        "SystemTime",
        "the date since when calls are counted",
    ),
    (
        "wire/expires.rs",
        "SystemTime",
        "`Micro-Expires`, which another machine has written",
    ),
    (
        "dispatch/request_headers.rs",
        "SystemTime",
        "`Micro-Expires`, which another machine has written",
    ),
    (
        "context/delivery.rs",
        "SystemTime",
        "the date of an event, from JetStream",
    ),
    (
        "jetstream/start_from.rs",
        "SystemTime",
        "a date that a user has chosen",
    ),
    (
        "jetstream/consumer_settings.rs",
        "SystemTime",
        "a date that a user has chosen",
    ),
    (
        "jetstream/stream_declaration.rs",
        "SystemTime",
        "the age of stored events, whose dates are from JetStream",
    ),
    (
        "jetstream/stream_settings.rs",
        "SystemTime",
        "the age of stored events, whose dates are from JetStream",
    ),
    (
        "jetstream/stream_states.rs",
        "SystemTime",
        "dates from JetStream",
    ),
];

/// Checks one source.
pub(crate) fn has_one_clock(source: &Source) -> Vec<String> {
    let Some(file) = source.path.strip_prefix(CHECKED) else {
        return vec![];
    };
    let mut violations = vec![];
    let mut line = 1;
    for statement in source.code.split_inclusive(';') {
        for (words, advice) in REAL_TIME {
            let is_excepted = EXCEPTIONS
                .iter()
                .any(|(path, word, _)| *path == file && words[0] == *word);
            if !is_excepted && words.iter().all(|word| has_word(statement, word)) {
                let at = |code: &str| has_word(code, words[words.len() - 1]);
                let above = statement.lines().position(at).unwrap_or(0);
                violations.push(source.at(line + above, advice));
            }
        }
        line += statement.matches('\n').count();
    }
    violations
}

/// Returns the exceptions that no source needs.
pub(crate) fn exceptions_are_needed(sources: &[Source]) -> Vec<String> {
    let is_unneeded = |(file, word, _): &&(&str, &str, &str)| {
        let path = format!("{CHECKED}{file}");
        let source = sources.iter().find(|source| source.path == path);
        !source.is_some_and(|source| has_word(&source.code, word))
    };
    let unneeded = EXCEPTIONS.iter().filter(is_unneeded);
    let line = |(file, word, _)| format!("{CHECKED}{file}: has no `{word}`: not an exception");
    unneeded.copied().map(line).collect()
}

#[test]
fn a_second_clock_is_caught() {
    let check = |path: &str, text: &str, lines: &[usize]| {
        let source = Source::new("micro-runtime", path, text);
        let found = has_one_clock(&source);
        let expected = lines.iter().map(|line| format!("{path}:{line}: "));
        let agrees = expected
            .zip(&found)
            .all(|(start, found)| found.starts_with(&start));
        assert!(agrees && found.len() == lines.len(), "{text}\n{found:?}");
    };
    let file = "micro-runtime/src/client/request.rs";
    check(file, "use std::time::Instant;", &[1]);
    check(
        file,
        "use std::fmt;\nuse std::time::{Duration, Instant};",
        &[2],
    );
    check(
        file,
        "\nuse std::{\n    fmt,\n    time::SystemTime,\n};",
        &[4],
    );
    check(
        file,
        "use std::time::Duration;\nuse tokio::time::Instant;",
        &[],
    );
    check(file, "fn f() {\n    std::thread::sleep(SOON);\n}", &[2]);
    check(file, "// std::time::Instant\nlet x = \"SystemTime\";", &[]);
    check(
        "micro-runtime/src/execute/poll_cost.rs",
        "use std::time::Instant;",
        &[],
    );
    check(
        "micro-runtime/src/execute/poll_cost.rs",
        "use std::time::SystemTime;",
        &[1],
    );
    check("tests/it/main.rs", "use std::time::Instant;", &[]);
}
