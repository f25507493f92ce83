//! A crate has one type per name, so that a search for the name finds the type.

use std::collections::BTreeMap;

use crate::module_tree::{Module, ModuleTree, load_targets};
use crate::outline::Definition;
use crate::source::sample;

/// Names that a file may give to its private types.
const PRIVATE_NAMES: &[&str] = &["Inner", "State"];

const KINDS: &[&str] = &["enum", "struct", "trait", "type", "union"];

/// Types of files that replace each other by feature may share their names.
pub(crate) fn has_one_type_per_name(tree: &ModuleTree<'_>) -> Vec<String> {
    let mut types: BTreeMap<&str, Vec<(&Module<'_>, &Definition)>> = BTreeMap::new();
    for module in tree.modules.iter().filter(|module| !module.is_test) {
        for definition in module
            .outline
            .definitions
            .iter()
            .filter(|definition| is_unique(definition))
        {
            types
                .entry(&definition.name)
                .or_default()
                .push((module, definition));
        }
    }
    let mut violations = vec![];
    for (name, places) in types {
        for (module, definition) in &places {
            let is_other = |(other, _): &&(&Module<'_>, _)| {
                other.path != module.path && !other.is_alternative_to(module)
            };
            if let Some((other, _)) = places.iter().find(is_other) {
                let line = module
                    .source
                    .line_of(&format!("{} {name}", definition.kind));
                let what = format!(
                    "`{name}` is also a type of `crate::{}`: choose another name",
                    other.path
                );
                violations.push(module.source.at(line, &what));
            }
        }
    }
    violations
}

fn is_unique(definition: &Definition) -> bool {
    let may_repeat = definition.is_private && PRIVATE_NAMES.contains(&&*definition.name);
    KINDS.contains(&&*definition.kind) && !definition.is_test && !may_repeat
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
    let part = "mod part { pub struct Name; }";
    check(twins, part, "pub struct Name;", 0);
    check("mod one; mod other;", part, "pub struct Name;", 2);
}
