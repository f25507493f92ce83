//! The order of modules: a module uses only modules of the layers below its own.

use crate::module_tree::{ModuleTree, load_targets};
use crate::source::{Source, is_word, sample};
use crate::uses::{Use, file_uses};

/// For each crate its modules in layers, from the bottom up. A folder is one module, except for files of it
/// that have an entry of their own, as in `"bus::nats"`.
pub(crate) type Layering = &'static [(&'static str, Layers)];
type Layers = &'static [&'static [&'static str]];

pub(crate) const LAYER_RULES: &[LayerRule] = &[names_the_module, uses_lower_layers];

type LayerRule = fn(&Source, Layering) -> Vec<String>;

/// Requires `use crate::module::…`, one line per module, so that the layers can be read off.
fn names_the_module(source: &Source, table: Layering) -> Vec<String> {
    let Some((layers, _)) = module(source, table) else {
        return vec![];
    };
    let mut violations = vec![];
    for (line, path) in references(source) {
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

fn uses_lower_layers(source: &Source, table: Layering) -> Vec<String> {
    let Some((layers, module)) = module(source, table) else {
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
    for (line, path) in references(source) {
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

/// Checks what [`uses_lower_layers`] cannot see: the files behind re-exports. `mod.rs` may re-export from
/// a part of its folder that is listed in a higher layer.
pub(crate) fn reexports_lead_down(tree: &ModuleTree<'_>, table: Layering) -> Vec<String> {
    let mut violations = vec![];
    let is_code = |used: &Use<'_>| !used.from.path.ends_with("/mod.rs");
    for used in file_uses(tree).into_iter().filter(is_code) {
        let (Some((layers, from)), Some((_, to))) =
            (module(used.from, table), module(used.to, table))
        else {
            continue;
        };
        let (Some((own, own_layer)), Some((other, layer))) =
            (layer_of(layers, &from), layer_of(layers, &to))
        else {
            continue;
        };
        if own != other && layer >= own_layer {
            let what = format!(
                "`{own}` (layer {own_layer}) uses `{other}` (layer {layer}) by `{}`",
                used.path
            );
            violations.push(used.from.at(used.line(), &what));
        }
    }
    violations
}

/// The layers of the source's crate and its module path, if it is production code of a crate with layers.
fn module(source: &Source, table: Layering) -> Option<(Layers, String)> {
    let path = source.local_path().strip_prefix("src/")?;
    let module = path.strip_suffix(".rs")?.replace('/', "::");
    let module = module.strip_suffix("::mod").unwrap_or(&module);
    if !source.package.starts_with("micro-") || module.ends_with("tests") {
        return None;
    }
    let known = table.iter().find(|(name, _)| *name == source.package);
    Some((known.map_or(&[], |(_, layers)| *layers), module.to_owned()))
}

/// Returns the paths of production code that begin with `crate::` or `super::`, each with its line. A path
/// ends before braces, as in `crate::bus::Bus`, or `crate::` for `crate::{…}`.
fn references(source: &Source) -> Vec<(usize, String)> {
    let code = without_tests(&source.code);
    let mut found = vec![];
    for (number, line) in (1..).zip(code.lines()) {
        for start in ["crate::", "super::"] {
            for (at, _) in line.match_indices(start) {
                // `$crate` is for users of a macro; `super::super::` is one path.
                if !line[..at].ends_with(|c: char| is_word(c) || c == '$' || c == ':') {
                    let rest = line[at..].chars();
                    found.push((
                        number,
                        rest.take_while(|&c| is_word(c) || c == ':').collect(),
                    ));
                }
            }
        }
    }
    found
}

/// The module of the table that a path belongs to, the longest that fits, and its layer.
fn layer_of(layers: Layers, path: &str) -> Option<(&'static str, usize)> {
    let holds = |module: &str| {
        path.strip_prefix(module)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let modules = (0..)
        .zip(layers)
        .flat_map(|(layer, row)| row.iter().map(move |name| (*name, layer)));
    modules
        .filter(|(name, _)| holds(name))
        .max_by_key(|(name, _)| name.len())
}

/// The path from the root of the crate that `reference` has in `module`.
fn resolve(module: &str, reference: &str) -> String {
    if let Some(path) = reference.strip_prefix("crate::") {
        return path.to_owned();
    }
    let mut base: Vec<&str> = module.split("::").collect();
    let mut path = reference;
    while let Some(rest) = path.strip_prefix("super::") {
        base.pop();
        path = rest;
    }
    base.push(path);
    base.join("::")
}

/// Blanks every item under `#[cfg(test)]`, to its `;` or its closing brace.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(start) = code.find("#[cfg(test)]") {
        let (mut depth, mut end) = (0_usize, code.len());
        for (at, c) in code[start + "#[cfg(test)]".len()..].char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, ';' | '}') {
                end = start + "#[cfg(test)]".len() + at + 1;
                break;
            }
        }
        let blanks: String = code[start..end]
            .chars()
            .map(|c| if c == '\n' { c } else { ' ' })
            .collect();
        code.replace_range(start..end, &blanks);
    }
    code
}

const SAMPLE: Layering = &[(
    "micro-sample",
    &[
        &["status", "subject"],
        &["bus"],
        &["bus::nats"],
        &["server"],
    ],
)];

/// Checks a source of `SAMPLE`. `expected` is the one violation, without its path, or empty.
fn check(rule: LayerRule, path: &str, text: &str, expected: &str) {
    let (package, _) = path.split_once('/').expect("a path with a package");
    let found = rule(&Source::new(package, path, text), SAMPLE).join("\n");
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

#[test]
fn an_upward_reexport_is_caught() {
    let check = |user: &str, expected: &str| {
        let sources = sample(&[
            ("src/lib.rs", "mod bus; mod status; mod server;"),
            (
                "src/bus/mod.rs",
                "mod nats; mod mux; pub(crate) use nats::Nats;",
            ),
            ("src/bus/nats.rs", "pub(crate) struct Nats;"),
            ("src/bus/mux.rs", user),
            ("src/status.rs", "pub(crate) struct Status;"),
            ("src/server.rs", "use crate::bus::Nats;"),
        ]);
        let targets = load_targets("micro-sample", &sources);
        let found = targets
            .iter()
            .flat_map(|target| reexports_lead_down(target, SAMPLE));
        let found: Vec<String> = found
            .filter(|violation| violation.contains("mux"))
            .collect();
        assert_eq!(found.concat(), expected, "{user}");
    };
    let upward = "`bus` (layer 1) uses `bus::nats` (layer 2) by `super::Nats`";
    check(
        "\nuse super::Nats;",
        &format!("micro-sample/src/bus/mux.rs:2: {upward}"),
    );
    check("use crate::status::Status;", "");
}
