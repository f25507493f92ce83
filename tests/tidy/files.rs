//! Rules about one file: its first line, its length, and what its code must not have.

use crate::source::{Source, has_word};

/// In lines. Long unit tests go to a sibling file, `wire_tests.rs` beside `wire.rs`.
const MAX_FILE_LINES: usize = 400;

/// In columns, also of a comment that rustfmt leaves as it is. Rows of tables may be longer.
const MAX_COMMENT_COLUMNS: usize = 120;

pub(crate) const FILE_RULES: &[FileRule] = &[
    opens_with_what_it_owns,
    stays_short,
    wraps_comments,
    is_finished,
    waits_for_events,
];

type FileRule = fn(&Source) -> Vec<String>;

fn opens_with_what_it_owns(source: &Source) -> Vec<String> {
    match source.text.lines().next() {
        Some(line) if line.starts_with("//! ") => vec![],
        _ => vec![source.at(1, "open with `//! ` and what the file owns")],
    }
}

fn stays_short(source: &Source) -> Vec<String> {
    match source.text.lines().count() {
        lines if lines <= MAX_FILE_LINES => vec![],
        lines => vec![source.at(
            lines,
            &format!("split the file: at most {MAX_FILE_LINES} lines"),
        )],
    }
}

fn wraps_comments(source: &Source) -> Vec<String> {
    let is_long = |line: &str| {
        let comment = line.trim_start();
        let text = comment.trim_start_matches(['/', '!', ' ']);
        comment.starts_with("//")
            && !text.starts_with('|')
            && line.chars().count() > MAX_COMMENT_COLUMNS
    };
    let lines = (1..).zip(source.text.lines());
    let long = lines.filter(|(_, line)| is_long(line));
    long.map(|(number, _)| {
        let advice = format!("wrap the comment: at most {MAX_COMMENT_COLUMNS} columns");
        source.at(number, &advice)
    })
    .collect()
}

fn is_finished(source: &Source) -> Vec<String> {
    let mut violations = vec![];
    for (number, line) in (1..).zip(source.code.lines()) {
        for name in ["todo!", "unimplemented!", "dbg!"] {
            if has_word(line, name) {
                violations.push(source.at(number, &format!("`{name}` is for work in progress")));
            }
        }
    }
    violations
}

/// A test that sleeps and hopes is slow when it passes and fails when the machine is slow.
fn waits_for_events(source: &Source) -> Vec<String> {
    let mut violations = vec![];
    let mut above = "";
    for (number, (line, code)) in (1..).zip(source.text.lines().zip(source.code.lines())) {
        let has_reason = [above, line].iter().any(|line| line.contains("// sleep: "));
        if source.path.starts_with("tests/") && has_word(code, "sleep(") && !has_reason {
            let advice = "wait for the event, or write `// sleep: <reason>` here or above";
            violations.push(source.at(number, advice));
        }
        above = line;
    }
    violations
}

/// `expected` is the one violation, without its path, or empty.
fn check(rule: FileRule, path: &str, text: &str, expected: &str) {
    let (package, _) = path.split_once('/').expect("a path with a package");
    let found = rule(&Source::new(package, path, text)).join("\n");
    let expected = match expected {
        "" => String::new(),
        expected => format!("{path}:{expected}"),
    };
    assert!(
        found.starts_with(&expected) && found.is_empty() == expected.is_empty(),
        "{text}\n{found}"
    );
}

#[test]
fn a_missing_header_is_caught() {
    check(
        opens_with_what_it_owns,
        "xtask/src/main.rs",
        "//! Chores.\n",
        "",
    );
    check(
        opens_with_what_it_owns,
        "xtask/src/main.rs",
        "use std::fs;\n//! Chores.\n",
        "1: open with",
    );
    check(
        opens_with_what_it_owns,
        "xtask/src/main.rs",
        "",
        "1: open with",
    );
}

#[test]
fn a_long_file_is_caught() {
    check(stays_short, "xtask/src/main.rs", &"//\n".repeat(400), "");
    check(
        stays_short,
        "xtask/src/main.rs",
        &"//\n".repeat(401),
        "401: split the file",
    );
}

#[test]
fn a_long_comment_is_caught() {
    let path = "xtask/src/main.rs";
    let comment = |start: &str, length: usize| format!("{start}{}", "ü".repeat(length));
    check(wraps_comments, path, &comment("/// ", 116), "");
    check(wraps_comments, path, &comment("/// ", 117), "1: wrap");
    check(wraps_comments, path, &comment("    // ", 114), "1: wrap");
    check(wraps_comments, path, &comment("//! | a | ", 200), "");
    check(wraps_comments, path, &comment("let x = 1; ", 200), "");
}

#[test]
fn unfinished_work_is_caught() {
    check(
        is_finished,
        "xtask/src/main.rs",
        "\nfn f() { todo!() }",
        "2: `todo!`",
    );
    check(
        is_finished,
        "xtask/src/main.rs",
        "let x = dbg!(1);",
        "1: `dbg!`",
    );
    check(
        is_finished,
        "xtask/src/main.rs",
        "// todo!\nlet x = \"dbg!(1)\";",
        "",
    );
}

#[test]
fn a_sleep_without_a_reason_is_caught() {
    let sleep = "tokio::time::sleep(SOON).await;";
    check(
        waits_for_events,
        "tests/it/main.rs",
        sleep,
        "1: wait for the event",
    );
    check(
        waits_for_events,
        "tests/it/main.rs",
        &format!("// sleep: the point\n{sleep}"),
        "",
    );
    check(
        waits_for_events,
        "tests/it/main.rs",
        &format!("{sleep} // sleep: the point"),
        "",
    );
    check(
        waits_for_events,
        "tests/it/main.rs",
        "\"sleep(1)\"; oversleep(1);",
        "",
    );
    check(waits_for_events, "xtask/src/main.rs", sleep, "");
}
