//! The documents beside the code: the paths and modules that they name must exist.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::failure_guide::test_exists;
use crate::workspace::root;

/// A Markdown file of the repository.
pub(crate) struct Document {
    /// Path from the root of the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The documents at the root, in `docs` and in its guide, sorted by path.
pub(crate) static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let mut documents = vec![];
    for folder in ["", "docs/", "docs/guide/"] {
        for entry in fs::read_dir(root().join(folder)).expect("the folder can be read") {
            let name = entry.expect("the folder can be read").file_name();
            let path = format!("{folder}{}", name.to_string_lossy());
            if path.ends_with(".md") {
                let text = fs::read_to_string(root().join(&path)).expect("a document is UTF-8");
                documents.push(Document { path, text });
            }
        }
    }
    documents.sort_by(|one, other| one.path.cmp(&other.path));
    documents
});

/// Files and folders of the repository, as paths from its root.
static TREE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut tree = vec![];
    walk("", &mut tree);
    tree
});

/// Endings of names that are files of the repository wherever they are written.
const FILE_ENDINGS: [&str; 4] = [".md", ".proto", ".rs", ".toml"];

/// The folder whose modules a document names with `::`, from the folder on.
const MODULES: &str = "micro-runtime/src";

/// Written between backticks, outside of code blocks.
static CODE_SPAN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"`([\w./:-]+)`").expect("a pattern of this file"));

/// Returns the paths and modules that a document names and that do not exist. CHANGELOG.md is not checked,
/// since it names what was there before.
pub(crate) fn names_what_exists(document: &Document) -> Vec<String> {
    let Document { path, text } = document;
    if path == "CHANGELOG.md" {
        return vec![];
    }
    let mut violations = vec![];
    let mut is_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        is_code ^= line.starts_with("```");
        if is_code {
            continue;
        }
        for (_, [name]) in CODE_SPAN.captures_iter(line).map(|found| found.extract()) {
            if !exists(name, &TREE) && !test_exists(name) {
                violations.push(format!("{path}:{number}: there is no `{name}`"));
            }
        }
    }
    violations
}

/// Returns the difference between the rows of a table of layers in a document and the layers, if there is one. A
/// row begins with the modules of one layer.
pub(crate) fn lists_the_layers(document: &Document, layers: &[&[&str]]) -> Vec<String> {
    let Document { path, text } = document;
    let (_, table) = text.split_once("\n| folder |").unwrap_or_default();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let modules = |row: &str| -> Vec<String> {
        let cell = row.split('|').nth(1).unwrap_or_default();
        let found = CODE_SPAN
            .captures_iter(cell)
            .map(|found| found[1].to_owned());
        found.collect()
    };
    let rows: Vec<Vec<String>> = rows.map(modules).collect();
    let expected: Vec<Vec<String>> = layers
        .iter()
        .map(|layer| layer.iter().map(|module| (*module).to_owned()).collect())
        .collect();
    match rows == expected {
        true => vec![],
        false => vec![format!(
            "{path}: the folders are {rows:?}, the layers {expected:?}"
        )],
    }
}

/// Returns whether a name is in the tree, or is neither a path nor a module.
///
/// A path whose first part is at the root is complete. Any other that ends as a file does is the end of a
/// path: `wire/subject.rs`, or `build.rs` of a user's package, of which the examples have one.
fn exists(name: &str, tree: &[String]) -> bool {
    let is_entry = |path: &str| tree.iter().any(|entry| entry == path);
    let name = name.trim_end_matches('/');
    if name.contains("::") {
        return module_exists(name, tree);
    }
    let (first, rest) = name.split_once('/').unwrap_or((name, ""));
    if !rest.is_empty() && is_entry(first) {
        return is_entry(name);
    }
    let is_file = |ending: &&str| name.len() > ending.len() && name.ends_with(*ending);
    let is_file = FILE_ENDINGS.iter().any(is_file);
    let suffix = format!("/{name}");
    !is_file || is_entry(name) || tree.iter().any(|entry| entry.ends_with(&suffix))
}

/// Returns whether `a::b` is a file or a folder of [`MODULES`], or names no module there: `a` is no folder, or
/// a part is a type.
fn module_exists(name: &str, tree: &[String]) -> bool {
    let is_entry = |path: &str| tree.iter().any(|entry| entry == path);
    let path = format!("{MODULES}/{}", name.replace("::", "/"));
    let first = name.split("::").next().unwrap_or_default();
    name.contains(char::is_uppercase)
        || !is_entry(&format!("{MODULES}/{first}"))
        || is_entry(&path)
        || is_entry(&format!("{path}.rs"))
}

fn walk(folder: &str, tree: &mut Vec<String>) {
    for entry in fs::read_dir(root().join(folder)).expect("the folder can be read") {
        let name = entry.expect("the folder can be read").file_name();
        let name = name.to_string_lossy();
        if [".git", "target"].contains(&&*name) {
            continue;
        }
        let path = Path::new(folder).join(&*name);
        let path = path.to_string_lossy().replace('\\', "/");
        let is_folder = root().join(&path).is_dir();
        tree.push(path.clone());
        if is_folder {
            walk(&path, tree);
        }
    }
}

#[test]
fn a_table_that_differs_from_the_layers_is_caught() {
    let check = |rows: &str, expected: usize| {
        let document = Document {
            path: "ARCHITECTURE.md".to_owned(),
            text: format!("# A\n\n| folder | what |\n|---|---|\n{rows}\n\n| `x` | a |\n"),
        };
        let found = lists_the_layers(&document, &[&["a", "b::c"], &["d"]]);
        assert_eq!(found.len(), expected, "{rows}");
    };
    check("| `a`, `b::c` | one, `e` |\n| `d` | two |", 0);
    check("| `a` | one |\n| `d` | two |", 1);
    check("| `d` | two |\n| `a`, `b::c` | one |", 1);
    check("| `a`, `b::c` | one |", 1);
}

#[test]
fn a_path_that_does_not_exist_is_caught() {
    let check = |text: &str, expected: &[&str]| {
        let document = Document {
            path: "README.md".to_owned(),
            text: text.to_owned(),
        };
        let expected: Vec<String> = expected
            .iter()
            .map(|name| format!("README.md:1: there is no `{name}`"))
            .collect();
        assert_eq!(names_what_exists(&document), expected, "{text}");
    };
    check(
        "`docs/PROTOCOL.md`, `micro-runtime/src/wire`, `.ci/run`",
        &[],
    );
    check("`wire/subject.rs` and `build.rs`, in `examples/`", &[]);
    check("`docs/PROTOCOLS.md`", &["docs/PROTOCOLS.md"]);
    check("`micro-runtime/src/wires`", &["micro-runtime/src/wires"]);
    check(
        "`wire/subjects.rs` and `builds.rs`",
        &["wire/subjects.rs", "builds.rs"],
    );
    check("`unary/16B`, `.proto`, `target/tools`, `and/or`", &[]);
    check("`bus::mux::table`, `bus::Bus`, `std::fmt`", &[]);
    check("`bus::mux::tables`", &["bus::mux::tables"]);
}
