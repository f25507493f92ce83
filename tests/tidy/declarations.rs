//! `mod.rs` and `lib.rs` of a library contain only declarations and re-exports. A definition there would be
//! imported back by the files that they declare.

use crate::module_tree::{ModuleTree, load_targets};
use crate::source::{Source, sample};

pub(crate) fn declares_only(tree: &ModuleTree<'_>) -> Vec<String> {
    let mut violations = vec![];
    for module in &tree.modules {
        if module.is_test || !is_checked(module.source) {
            continue;
        }
        for definition in &module.outline.definitions {
            if !definition.is_test && !definition.is_root_macro {
                let item = format!("{} {}", definition.kind, definition.name);
                let advice = format!(
                    "move `{item}` to a file named after it; this file is for `mod` and `use`"
                );
                violations.push(module.source.at(module.source.line_of(&item), &advice));
            }
        }
    }
    violations
}

/// Examples and tests may share code in `mod.rs`.
fn is_checked(source: &Source) -> bool {
    let path = source.local_path();
    let is_library = source.package.starts_with("micro-") && path.starts_with("src/");
    is_library && (path.ends_with("/mod.rs") || path == "src/lib.rs")
}

#[test]
fn a_definition_beside_declarations_is_caught() {
    let check = |text: &str, expected: &[&str]| {
        let sources = sample(&[
            ("src/lib.rs", "mod bus;"),
            ("src/bus/mod.rs", text),
            ("src/bus/nats.rs", ""),
        ]);
        let found = load_targets("micro-sample", &sources);
        let found: Vec<String> = found.iter().flat_map(declares_only).collect();
        assert_eq!(found.len(), expected.len(), "{text}\n{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            let expected = format!("micro-sample/src/bus/mod.rs:{expected}");
            assert!(found.starts_with(&expected), "{text}\n{found}");
        }
    };
    check(
        "//! A bus.\nmod nats;\npub use nats::Nats;\n#[cfg(test)]\nmod tests { fn f() {} }",
        &[],
    );
    check("#[macro_export]\nmacro_rules! bus { () => {} }", &[]);
    check("mod nats;\n\npub struct Bus;", &["3: move `struct Bus`"]);
    check(
        "fn f() {}\nimpl Nats {}",
        &["1: move `fn f`", "2: move `impl Nats`"],
    );
    check(
        "pin_project! {\n struct Bus {}\n}",
        &["2: move `struct Bus`"],
    );
    check("const MAX: usize = 1;", &["1: move `const MAX`"]);
}
