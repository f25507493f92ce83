//! A crate has one type per name, so that a search for the name finds the type.

use std::collections::{BTreeMap, BTreeSet};

use crate::module_tree::{ModuleTree, load_targets};
use crate::source::sample;

/// Names that a file may give to its private types.
const PRIVATE_NAMES: &[&str] = &["Inner", "State"];

const KINDS: &[&str] = &["enum", "struct", "trait", "type", "union"];

/// Two files that replace each other by feature are one module, and their types are not counted twice.
pub(crate) fn has_one_type_per_name(tree: &ModuleTree<'_>) -> Vec<String> {
    let mut definitions = BTreeMap::new();
    for module in tree.modules.iter().filter(|module| !module.is_test) {
        for definition in &module.outline.definitions {
            let may_repeat = definition.is_private && PRIVATE_NAMES.contains(&&*definition.name);
            if KINDS.contains(&&*definition.kind) && !definition.is_test && !may_repeat {
                let places: &mut BTreeMap<_, _> = definitions.entry(&definition.name).or_default();
                let item = format!("{} {}", definition.kind, definition.name);
                places.entry(&module.path).or_insert((module.source, item));
            }
        }
    }
    let mut violations = vec![];
    for (name, places) in definitions.iter().filter(|(_, places)| places.len() > 1) {
        let modules: BTreeSet<String> = places
            .keys()
            .map(|path| format!("`crate::{path}`"))
            .collect();
        let modules = Vec::from_iter(modules).join(", ");
        for (source, item) in places.values() {
            let what = format!("`{name}` is defined in {modules}: choose another name");
            violations.push(source.at(source.line_of(item), &what));
        }
    }
    violations
}

#[test]
fn a_type_name_used_twice_is_caught() {
    let check = |root: &str, one: &str, other: &str, expected: usize| {
        let sources = sample(&[
            ("src/lib.rs", root),
            ("src/one.rs", one),
            ("src/other.rs", other),
        ]);
        let targets = load_targets("micro-sample", &sources);
        let found: Vec<String> = targets.iter().flat_map(has_one_type_per_name).collect();
        assert_eq!(found.len(), expected, "{root} {one} {other}\n{found:?}");
    };
    let check_modules = |one: &str, other: &str, expected: usize| {
        check("mod one; mod other;", one, other, expected);
    };
    check_modules("struct Name;", "pub enum Name {}", 2);
    check_modules("trait Name {}", "type Name = u8;", 2);
    check_modules("struct Name;", "fn name() { struct Name; }", 0);
    check_modules("struct Name;", "impl A for B { type Name = u8; }", 0);
    check_modules("struct State;", "struct State;", 0);
    check_modules("pub(crate) struct State;", "pub(crate) struct State;", 2);
    check_modules("struct Name;", "#[cfg(test)] mod tests { struct Name; }", 0);
    let twins = "#[cfg_attr(not(feature = \"x\"), path = \"other.rs\")] mod one;";
    check(twins, "pub struct Name;", "pub struct Name;", 0);
}
