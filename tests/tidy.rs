//! The house rules that a machine can hold: file headers, layers, sizes, and tests that wait for
//! events. A rule turns one source into its violations; below, each has a case that it must catch.

#[path = "tidy/source.rs"]
mod source;

use source::{Crates, Source, has_word, layer_of, resolve, root};

/// The layers of the crates, from the bottom up: a module uses only modules in rows above
/// its own. A folder is one module, unless a part is listed by itself, as in `"bus::nats"`.
#[rustfmt::skip] // One line is one layer.
const CRATES: Crates = &[
    ("micro-build", &[
        &["comments", "error", "naming", "patterns", "proto_dir", "suggestions"],
        &["descriptors", "model", "settings"],
        &["descriptor_set", "elements", "messages", "options", "output", "protox_errors"],
        &["check", "compiler", "emit", "lower", "protoc"],
        &["postprocess"],
        &["generator"],
        &["config"],
    ]),
    ("micro-editions", &[
        &["elements", "error"],
        &["convert"],
    ]),
    ("micro-macros", &[
        &["errors", "suggestions", "table"],
        &["args", "include"],
        &["model"],
        &["method_match", "options", "target", "type_match"],
        &["arc_receiver", "check", "repair"],
        &["fallback"],
        &["expand"],
    ]),
    ("micro-runtime", &[
        &["descriptor", "discovery::date", "discovery::names", "discovery::records", "error", "pace", "percent", "subject", "sync"],
        &["delivery", "status"],
        &["event", "health", "json", "metadata", "mux", "no_json", "observe", "retry", "stats"],
        &["bus", "context", "wire"],
        &["gather", "middleware", "stream"],
        &["client", "discovery", "events", "options", "publish", "streaming"],
        &["request"],
        &["opening", "subscriber"],
        &["exchange", "streaming_call"],
        &["call", "endpoint"],
        &["transcode"],
        &["codegen", "dynamic", "jetstream", "scatter", "serve"],
        &["bench", "server"],
    ]),
];

/// Folders with sources besides the crates.
const FOLDERS: &[&str] = &["tests", "examples", "xtask", "bench"];

/// In lines. Long unit tests go to a sibling file, `wire_tests.rs` beside `wire.rs`.
const LONGEST: usize = 400;

const RULES: &[Rule] = &[
    opens_with_what_it_owns,
    stays_short,
    is_finished,
    waits_for_events,
    names_the_module,
    uses_lower_layers,
];

type Rule = fn(&Source) -> Vec<String>;

#[test]
fn the_house_rules_hold() {
    let sources = source::walk(CRATES, FOLDERS);
    assert!(
        sources.len() > 50,
        "found only {} sources: is the walk broken?",
        sources.len()
    );
    let violations: Vec<String> = sources
        .iter()
        .flat_map(|source| RULES.iter().flat_map(|rule| rule(source)))
        .collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_module_in_the_table_exists() {
    for (name, layers) in CRATES {
        for module in layers.concat() {
            let path = root()
                .join(name)
                .join("src")
                .join(module.replace("::", "/"));
            let exists = path.with_extension("rs").exists() || path.join("mod.rs").exists();
            assert!(
                exists,
                "{name} has no module `{module}`: take it out of CRATES"
            );
        }
    }
}

// The rules.

fn opens_with_what_it_owns(source: &Source) -> Vec<String> {
    match source.text.lines().next() {
        Some(line) if line.starts_with("//! ") => vec![],
        _ => vec![source.at(1, "open with `//! ` and what the file owns")],
    }
}

fn stays_short(source: &Source) -> Vec<String> {
    match source.text.lines().count() {
        lines if lines <= LONGEST => vec![],
        lines => vec![source.at(lines, &format!("split the file: at most {LONGEST} lines"))],
    }
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

/// `use crate::module::…`, one line per module, so that the layers can be read off.
fn names_the_module(source: &Source) -> Vec<String> {
    let Some((layers, _)) = source.module() else {
        return vec![];
    };
    let mut violations = vec![];
    for (line, path) in source.references() {
        let Some(path) = path.strip_prefix("crate::") else {
            continue;
        };
        if path.is_empty() {
            violations.push(source.at(line, "write one `use crate::module::…` for each module"));
        } else if layer_of(layers, path).is_none() {
            let advice = "name the module it lives in, not lib.rs (a new module goes into CRATES)";
            violations.push(source.at(line, &format!("`crate::{path}`: {advice}")));
        }
    }
    violations
}

fn uses_lower_layers(source: &Source) -> Vec<String> {
    let Some((layers, module)) = source.module() else {
        return vec![];
    };
    if module == "lib" {
        return vec![];
    }
    let Some((own, own_layer)) = layer_of(layers, &module) else {
        let advice = format!("`{module}` has no layer: add it to CRATES in tests/tidy.rs");
        return vec![source.at(1, &advice)];
    };
    let mut violations = vec![];
    for (line, path) in source.references() {
        let Some((other, layer)) = layer_of(layers, &resolve(&module, &path)) else {
            continue;
        };
        if other != own && layer >= own_layer {
            let what = format!("`{own}` (layer {own_layer}) uses `{other}` (layer {layer})");
            violations.push(source.at(line, &what));
        }
    }
    violations
}

// Each rule catches what it is there for, and nothing else.

const SAMPLE: Crates = &[(
    "micro-sample",
    &[
        &["status", "subject"],
        &["bus"],
        &["bus::nats"],
        &["server"],
    ],
)];

/// `expected` is the one violation, without its path; empty if there must be none.
fn check(rule: Rule, path: &str, text: &str, expected: &str) {
    let found = rule(&Source::new(path, text, SAMPLE)).join("\n");
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

#[test]
fn the_way_around_lib_is_caught() {
    let path = "micro-sample/src/server.rs";
    check(names_the_module, path, "use crate::bus::{Bus, Sink};", "");
    check(
        names_the_module,
        path,
        "use crate::{bus, status};",
        "1: write one",
    );
    check(names_the_module, path, "use crate::*;", "1: write one");
    check(
        names_the_module,
        path,
        "\nuse crate::Status;",
        "2: `crate::Status`: name the module",
    );
    check(
        names_the_module,
        path,
        "use crate::news::News;",
        "1: `crate::news::News`: name",
    );
    check(
        names_the_module,
        path,
        "macro_rules! m { () => { $crate::Status } }",
        "",
    );
    check(
        names_the_module,
        "xtask/src/main.rs",
        "use crate::{a, b};",
        "",
    );
}

#[test]
fn an_upward_use_is_caught() {
    let up = "1: `bus` (layer 1) uses `server` (layer 3)";
    let check = |module: &str, text: &str, expected: &str| {
        check(
            uses_lower_layers,
            &format!("micro-sample/src/{module}.rs"),
            text,
            expected,
        );
    };
    check("bus/mod", "use crate::status::Status;", "");
    check("bus/mod", "use crate::server::Server;", up);
    check("bus/table", "let x = crate::server::new();", up);
    check("bus/table", "use super::super::server::Server;", up);
    check("bus/mod", "use super::server::Server;", up);
    check("bus/mod", "use crate::bus::table::Table;", "");
    check(
        "bus/mod",
        "use crate::bus::nats::Nats;",
        "1: `bus` (layer 1) uses `bus::nats`",
    );
    check("bus/nats", "use super::Bus;", "");
    let sideways = "1: `status` (layer 0) uses `subject` (layer 0)";
    check("status", "use crate::subject::Subject;", sideways);
    check("lib", "pub use crate::server::Server;", "");
    check("news", "", "1: `news` has no layer: add it");
}

#[test]
fn only_production_code_is_layered() {
    let check = |text: &str, expected: &str| {
        check(
            uses_lower_layers,
            "micro-sample/src/status.rs",
            text,
            expected,
        );
        check(
            uses_lower_layers,
            "micro-sample/src/status_tests.rs",
            text,
            "",
        );
    };
    let upward = "use crate::server::Server;";
    check(&format!("// {upward}"), "");
    check(&format!("/* {upward} */ let x = r#\"\" {upward}\"#;"), "");
    check(
        &format!("let x = (b\"\\\"{upward}\", '\"', '\\'', \"{upward}\");"),
        "",
    );
    check(
        &format!("#[cfg(test)]\nmod tests {{ {{ {upward} }} {upward} }}"),
        "",
    );
    check(
        &format!("#[cfg(test)]\nmod tests;\n{upward}"),
        "3: `status` (layer 0) uses",
    );
    check(
        &format!("fn f<'a>(x: &'a str) {{ {upward} }}"),
        "1: `status` (layer 0) uses",
    );
}
