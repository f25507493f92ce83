//! Log lines of micro-runtime that a program sees by default: each goes through a `LogLimit`, or is listed here with
//! the reason why nothing can cause it at any rate.

use std::sync::LazyLock;

use regex::Regex;

use crate::source::Source;

/// Files with lines that are written directly: their number, and the reason.
const UNLIMITED: &[(&str, usize, &str)] = &[
    ("bus/fault_injection/faults.rs", 1, "a test causes it"),
    (
        "bus/inbox.rs",
        1,
        "an operator causes it, who gives the permission back",
    ),
    (
        "bus/link/link_keeper.rs",
        2,
        "an operator causes them, who stops a nats-server",
    ),
    (
        "bus/refusals.rs",
        1,
        "the end of a subscription, which is made by the program",
    ),
    (
        "discovery/invalid_field.rs",
        1,
        "8 in a process, see MAX_REPORTED",
    ),
    (
        "discovery/watch.rs",
        1,
        "the end of a watch, which is made by the program",
    ),
    (
        "jetstream/consumer_logs.rs",
        1,
        "within a macro that a limit gets",
    ),
    (
        "jetstream/consumer_loop.rs",
        1,
        "once at the stop of a server",
    ),
    (
        "jetstream/differences.rs",
        1,
        "once at a declaration of what differs, which the program makes",
    ),
    (
        "jetstream/stream_declaration.rs",
        2,
        "once at a declaration, which the program makes",
    ),
    ("json/details.rs", 1, "once in a process"),
    (
        "server/capture_warning.rs",
        1,
        "once at the start of a server for each stream that stores its calls",
    ),
    (
        "server/instance_conflict.rs",
        1,
        "once at the start of a server for each service with a set instance id",
    ),
    ("server/running_server.rs", 1, "the end of a server"),
    ("server/stopper.rs", 1, "once at the stop of a server"),
    (
        "server/under_way.rs",
        1,
        "at the stop of a server, one each 5 s",
    ),
    ("shutdown_signal.rs", 1, "the end of the program"),
];

static LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:\b(?:warn|error|info|event)|tracing::\$\w+)!\s*\(")
        .expect("a pattern of this file")
});
static MESSAGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""((?:[^"\\]|\\(?s:.))*)""#).expect("a pattern of this file"));

/// A string that goes on in the next line.
static CONTINUATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\\\s+").expect("a pattern of this file"));

/// A log line of a source: where it is, its message, and whether a limit writes it.
pub(crate) struct LogLine {
    pub(crate) line: usize,
    pub(crate) message: String,
    pub(crate) is_limited: bool,
}

/// Returns the lines that are neither behind a limit nor listed, and what is listed and not there.
pub(crate) fn go_through_a_limit(sources: &[&Source]) -> Vec<String> {
    let mut violations = vec![];
    for source in sources.iter().filter(|source| is_of_runtime(source)) {
        let path = local(source);
        let listed = UNLIMITED.iter().find(|(file, ..)| *file == path);
        let allowed = listed.map_or(0, |(_, lines, _)| *lines);
        let lines = log_lines(source);
        let direct: Vec<_> = lines.iter().filter(|line| !line.is_limited).collect();
        if direct.len() == allowed {
            continue;
        }
        let text = "write the line through a `LogLimit`, or list it in tests/tidy/log_lines.rs with the reason why \
                    nothing can cause it at any rate";
        violations.extend(direct.iter().map(|line| source.at(line.line, text)));
        if direct.is_empty() {
            violations.push(source.at(
                1,
                "has no line that UNLIMITED of tests/tidy/log_lines.rs lists",
            ));
        }
    }
    violations
}

/// Returns the messages of the lines that limits write, each up to its first argument.
pub(crate) fn limited_messages(sources: &[&Source]) -> Vec<String> {
    let sources = sources.iter().filter(|source| is_of_runtime(source));
    let lines = sources.flat_map(|source| log_lines(source));
    let limited = lines.filter(|line| line.is_limited);
    let messages = limited.map(|line| {
        let text = line.message.split('{').next().unwrap_or_default();
        let text = text.split([';', ':']).next().unwrap_or_default();
        text.trim_end_matches([' ', '`']).to_owned()
    });
    messages.filter(|message| !message.is_empty()).collect()
}

fn is_of_runtime(source: &Source) -> bool {
    let is_test = source.path.ends_with("_tests.rs") || source.path.contains("_tests/");
    source.path.starts_with("micro-runtime/src/") && !is_test
}

fn local(source: &Source) -> &str {
    source.local_path().trim_start_matches("src/")
}

/// Returns the log lines of a source in which a program sees something by default.
fn log_lines(source: &Source) -> Vec<LogLine> {
    let (code, text): (Vec<char>, Vec<char>) =
        (source.code.chars().collect(), source.text.chars().collect());
    let joined: String = code
        .iter()
        .map(|c| if c.is_ascii() { *c } else { '?' })
        .collect();
    let found = LINE.find_iter(&joined);
    let lines = found.map(|found| {
        let end = closing(&code, found.end());
        let arguments: String = text[found.end()..end].iter().collect();
        let messages: Vec<_> = MESSAGE.captures_iter(&arguments).collect();
        let message = messages.last().map_or("", |captures| {
            captures.get(1).map_or("", |text| text.as_str())
        });
        LogLine {
            line: joined[..found.start()].matches('\n').count() + 1,
            message: CONTINUATION.replace_all(message, "").into_owned(),
            is_limited: is_argument_of_a_limit(&code, found.start()),
        }
    });
    lines.collect()
}

/// Returns the place of the parenthesis that closes the one before `at`.
fn closing(code: &[char], at: usize) -> usize {
    let mut depth = 1;
    for (index, c) in code.iter().enumerate().skip(at) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    code.len()
}

/// Returns whether `at` is within the arguments of `LogLimit::write` or `write_many`.
fn is_argument_of_a_limit(code: &[char], at: usize) -> bool {
    let mut depth = 0;
    for index in (0..at).rev() {
        match code[index] {
            ')' => depth += 1,
            '(' if depth > 0 => depth -= 1,
            '(' => {
                let before: String = code[index.saturating_sub(12)..index].iter().collect();
                if before.ends_with(".write") || before.ends_with(".write_many") {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

#[test]
fn a_line_without_a_limit_is_caught() {
    let check = |path: &str, code: &str, expected: usize| {
        let path = format!("micro-runtime/src/{path}");
        let source = Source::new("micro-runtime", &path, code);
        assert_eq!(go_through_a_limit(&[&source]).len(), expected, "{code}");
    };
    let limited = "//! x\nfn f() { log.write(move |count| { tracing::warn!(count, \"a\"); }); }";
    check("a.rs", limited, 0);
    check("a.rs", &limited.replace(".write(", ".write_many(2, "), 0);
    check("a.rs", &limited.replace(".write(", ".spawn("), 1);
    check(
        "a.rs",
        "fn f() { if let Some(count) = log.due() { error!(count, \"a\"); } }",
        1,
    );
    check("a.rs", "fn f() { tracing::debug!(\"a\"); }", 0);
    check("a_tests.rs", "fn f() { tracing::warn!(\"a\"); }", 0);
    let own = "fn f() { tracing::warn!(\"a\"); }";
    check("shutdown_signal.rs", own, 0);
    check("shutdown_signal.rs", &own.repeat(2), 2);
    check("shutdown_signal.rs", "fn f() {}", 1);
    check("a.rs", &format!("fn g() {{ log.write(1); }} {own}"), 1);
}
