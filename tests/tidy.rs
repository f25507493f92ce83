//! House rules that a machine can check. Each rule turns a file, a package, or a crate into a list of
//! violations; tests beside the rule hold the cases that it must catch.
//!
//! | module | rules |
//! |---|---|
//! | `files` | a header, at most 400 lines, comments of at most 120 columns, no unfinished work, no test that sleeps without a reason |
//! | `layers` | a module uses only modules of lower layers, see [`CRATES`], and imports from the module itself |
//! | `circles` | no file imports from a file that imports from it, directly or through other files |
//! | `declarations` | `mod.rs` and `lib.rs` of a library contain only declarations and re-exports |
//! | `type_names` | a crate has one type per name |
//! | `clocks` | micro-runtime measures time with tokio's clock alone, which tests can pause |
//! | `public_types` | without features no public item of micro-runtime names a type of async-nats |
//! | `wording` | comments use plain words; micro-runtime has enough documentation |
//! | `glossary` | code, comments, messages and documents use the words of CONTRIBUTING.md |
//! | `failure_guide` | each row of docs/guide/failure.md names tests that exist |
//! | `log_lines` | each log line of micro-runtime that a program sees by default goes through a `LogLimit`, or is listed with the reason why not |
//! | `operations_guide` | docs/guide/operations.md names the metrics, fields of STATS, options, variables, limits and thinned log lines of the code |
//! | `documents` | the paths and modules that documents name exist; ARCHITECTURE.md has the layers of micro-runtime |
//! | `protocol` | rules of docs/PROTOCOL.md have numbers of their own, and what cites them cites what is there; its examples are those of docs/golden.json, and each is held by a test |
//!
//! The other modules prepare what the rules read: `workspace` lists the sources, `outline` parses the items of
//! one source, `code_paths` the paths in its code, `module_tree` loads the modules of a crate, and `uses`
//! resolves which file uses which.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/clocks.rs"]
mod clocks;
#[path = "tidy/code_paths.rs"]
mod code_paths;
#[path = "tidy/declarations.rs"]
mod declarations;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/failure_guide.rs"]
mod failure_guide;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/glossary.rs"]
mod glossary;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/log_lines.rs"]
mod log_lines;
#[path = "tidy/module_tree.rs"]
mod module_tree;
#[path = "tidy/operations_guide.rs"]
mod operations_guide;
#[path = "tidy/outline.rs"]
mod outline;
#[path = "tidy/protocol.rs"]
mod protocol;
#[path = "tidy/public_types.rs"]
mod public_types;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/type_names.rs"]
mod type_names;
#[path = "tidy/uses.rs"]
mod uses;
#[path = "tidy/wording.rs"]
mod wording;
#[path = "tidy/workspace.rs"]
mod workspace;

use std::collections::BTreeSet;

use documents::{DOCUMENTS, Document};
use failure_guide::FAILURE_GUIDE;
use files::FILE_RULES;
use layers::{LAYER_RULES, Layering};
use module_tree::ModuleTree;
use operations_guide::OPERATIONS_GUIDE;
use protocol::{PROTOCOL, Protocol};
use source::Source;
use workspace::{SOURCES, TARGETS};

/// The layers of the crates, from the bottom up: a module uses only modules in rows above
/// its own. A folder is one module, unless a part is listed by itself, as in `"bus::nats"`.
#[rustfmt::skip] // One line is one layer.
const CRATES: Layering = &[
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
        &["growth", "printable", "shutdown_signal", "subject", "sync"],
        &["error", "log_limit"],
        &["descriptor", "status", "wire::header"],
        &["json", "json_off", "metadata", "observe"],
        &["memory_budget", "wire"],
        &["decode"],
        &["context"],
        &["middleware"],
        &["bus"],
        &["discovery", "stream"],
        &["client", "execute"],
        &["event"],
        &["jetstream"],
        &["dispatch"],
        &["call", "codegen", "dynamic", "server"],
        &["bench", "fuzz"],
    ]),
];

/// The package whose modules stand for one program each, with type names of its own.
const INDEPENDENT_CASES: &str = "tests/ui";

#[test]
fn files_keep_their_rules() {
    assert!(SOURCES.len() > 50, "is the walk broken?");
    let rules = |source| FILE_RULES.iter().flat_map(move |rule| rule(source));
    assert_none(SOURCES.iter().flat_map(rules));
}

#[test]
fn modules_use_lower_layers() {
    let rules = |source| {
        LAYER_RULES
            .iter()
            .flat_map(move |rule| rule(source, CRATES))
    };
    assert_none(SOURCES.iter().flat_map(rules));
}

#[test]
fn every_module_in_the_table_exists() {
    for (name, layers) in CRATES {
        for module in layers.concat() {
            let path = workspace::root()
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

#[test]
fn reexports_lead_to_lower_layers() {
    assert_none(
        TARGETS
            .iter()
            .flat_map(|target| layers::reexports_lead_down(target, CRATES)),
    );
}

#[test]
fn no_file_is_in_an_import_circle() {
    check_targets(circles::no_file_is_in_a_circle, &[]);
}

#[test]
fn module_files_only_declare() {
    check_targets(declarations::declares_only, &[]);
}

#[test]
fn a_crate_has_one_type_per_name() {
    check_targets(type_names::has_one_type_per_name, &[INDEPENDENT_CASES]);
}

#[test]
fn the_runtime_has_one_clock() {
    let sources = SOURCES.iter().flat_map(clocks::has_one_clock);
    assert_none(sources.chain(clocks::exceptions_are_needed(&SOURCES)));
}

#[test]
fn the_interface_names_no_type_of_async_nats() {
    check_packages(public_types::names_no_async_nats);
}

#[test]
fn comments_are_plain() {
    check_packages(wording::comments_are_plain);
}

#[test]
fn documentation_suffices() {
    check_packages(wording::documentation_suffices);
}

#[test]
fn words_are_those_of_the_glossary() {
    let sources = SOURCES.iter().map(|source| (&source.path, &source.text));
    let documents = DOCUMENTS
        .iter()
        .map(|document| (&document.path, &document.text));
    let texts = sources.chain(documents);
    assert_none(texts.flat_map(|(path, text)| glossary::keeps_to_the_glossary(path, text)));
}

#[test]
fn documents_name_what_exists() {
    assert!(DOCUMENTS.len() > 5, "is the walk broken?");
    assert_none(DOCUMENTS.iter().flat_map(documents::names_what_exists));
}

#[test]
fn the_guide_to_failures_names_tests_that_exist() {
    let guide = document(FAILURE_GUIDE);
    assert_none(failure_guide::names_tests(&guide.path, &guide.text).into_iter());
}

#[test]
fn log_lines_that_peers_cause_go_through_a_limit() {
    assert_none(log_lines::go_through_a_limit(&all_sources()).into_iter());
}

#[test]
fn the_guide_to_operations_names_what_the_code_has() {
    let guide = document(OPERATIONS_GUIDE);
    let sources = all_sources();
    assert_none(operations_guide::names_what_the_code_has(guide, &sources).into_iter());
}

#[test]
fn the_guide_to_operations_has_the_options_and_limits_of_the_code() {
    let guide = document(OPERATIONS_GUIDE);
    assert_none(operations_guide::has_the_tables(guide, &all_sources()).into_iter());
}

#[test]
fn the_architecture_lists_the_layers() {
    let architecture = document("ARCHITECTURE.md");
    let runtime = CRATES.iter().find(|(name, _)| *name == "micro-runtime");
    let (_, layers) = runtime.expect("the crate has layers");
    assert_none(documents::lists_the_layers(architecture, layers).into_iter());
}

#[test]
fn rules_of_the_protocol_have_numbers_of_their_own() {
    let text = &document(PROTOCOL).text;
    assert_none(Protocol::read(text).numbers_ascend(text).into_iter());
}

#[test]
fn rules_of_the_protocol_that_are_cited_exist() {
    let protocol = Protocol::read(&document(PROTOCOL).text);
    let sources = SOURCES.iter().map(|source| (&source.path, &source.text));
    let documents = DOCUMENTS
        .iter()
        .map(|document| (&document.path, &document.text));
    let is_checked = |(path, _): &(&String, &String)| *path != "tests/tidy/protocol.rs";
    let texts = sources.chain(documents).filter(is_checked);
    assert_none(texts.flat_map(|(path, text)| protocol.has_what_is_cited(path, text)));
}

#[test]
fn examples_of_the_protocol_are_the_golden_bytes() {
    assert_none(protocol::examples_agree(document(PROTOCOL), &SOURCES).into_iter());
}

fn all_sources() -> Vec<&'static Source> {
    SOURCES.iter().collect()
}

fn document(path: &str) -> &'static Document {
    let found = DOCUMENTS.iter().find(|document| document.path == path);
    found.expect("the document exists")
}

fn check_targets(rule: fn(&ModuleTree<'_>) -> Vec<String>, exempt: &[&str]) {
    let is_checked = |target: &&ModuleTree<'_>| {
        let package = &*target.modules[0].source.package;
        !exempt.contains(&package)
    };
    assert_none(TARGETS.iter().filter(is_checked).flat_map(rule));
}

fn check_packages(rule: fn(&[&Source]) -> Vec<String>) {
    let packages = workspace::packages();
    assert_none(packages.iter().flat_map(|package| {
        let sources: Vec<_> = SOURCES
            .iter()
            .filter(|source| source.package == *package)
            .collect();
        rule(&sources)
    }));
}

fn assert_none(violations: impl Iterator<Item = String>) {
    // A file that several targets share is reported once.
    let violations: BTreeSet<String> = violations.collect();
    let lines = Vec::from_iter(violations);
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}
