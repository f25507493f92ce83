//! Import circles: files that import from each other, directly or through other files.

use std::collections::{BTreeMap, BTreeSet};

use crate::module_tree::{ModuleTree, load_targets};
use crate::source::sample;
use crate::uses::{Use, file_uses};

/// For each file, by path, those that it uses.
type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Files in a circle cannot be understood or changed one at a time.
pub(crate) fn no_file_is_in_a_circle(tree: &ModuleTree<'_>) -> Vec<String> {
    let uses = file_uses(tree);
    let mut graph = Graph::new();
    for used in &uses {
        graph
            .entry(&used.from.path)
            .or_default()
            .insert(&used.to.path);
    }
    let reachable: Graph<'_> = graph
        .keys()
        .map(|file| (*file, files_reached_from(file, &graph)))
        .collect();
    let leads_back = |used: &&Use<'_>| {
        let back = reachable.get(&*used.to.path);
        back.is_some_and(|files| files.contains(&*used.from.path))
    };
    let in_circle = uses.iter().filter(leads_back);
    in_circle.map(violation).collect()
}

fn files_reached_from<'a>(file: &'a str, graph: &Graph<'a>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut pending = vec![file];
    while let Some(file) = pending.pop() {
        for used in graph.get(file).into_iter().flatten() {
            if reached.insert(*used) {
                pending.push(used);
            }
        }
    }
    reached
}

fn violation(used: &Use<'_>) -> String {
    let what = format!(
        "`{}` is in {}, which leads back here: an import circle",
        used.path, used.to.path
    );
    used.from.at(used.line(), &what)
}

#[test]
fn a_circle_is_caught() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let sources = sample(files);
        let targets = load_targets("micro-sample", &sources);
        let found: Vec<String> = targets.iter().flat_map(no_file_is_in_a_circle).collect();
        let found: Vec<&str> = found
            .iter()
            .map(|violation| &violation["micro-sample/src/".len()..])
            .collect();
        assert_eq!(found.len(), expected.len(), "{files:?}\n{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{files:?}\n{found}");
        }
    };
    check(
        &[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "use crate::b::B;\npub struct A(B);"),
            ("src/b.rs", "\npub struct B;\nfn f(a: &crate::a::A) {}"),
        ],
        &[
            "a.rs:1: `crate::b::B` is in micro-sample/src/b.rs",
            "b.rs:3: `crate::a::A` is in micro-sample/src/a.rs",
        ],
    );
    // Of three files, by way of a re-export; the file that re-exports is not in the circle.
    check(
        &[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a/mod.rs", "mod inner; pub(crate) use inner::A;"),
            ("src/a/inner.rs", "use crate::b::B;\npub(crate) struct A;"),
            ("src/b.rs", "use crate::c::C;\npub(crate) struct B;"),
            ("src/c.rs", "use crate::a::A;\npub(crate) struct C;"),
        ],
        &[
            "a/inner.rs:1: `crate::b::B`",
            "b.rs:1: `crate::c::C`",
            "c.rs:1: `crate::a::A`",
        ],
    );
    // A chain is no circle, nor is a test that uses what it tests.
    check(
        &[
            ("src/lib.rs", "mod a; mod b; #[cfg(test)] mod a_tests;"),
            ("src/a.rs", "use crate::b::B;\npub struct A(B);"),
            (
                "src/b.rs",
                "pub struct B;\n#[cfg(test)] mod tests { use crate::a::A; }",
            ),
            ("src/a_tests.rs", "use crate::a::A;"),
        ],
        &[],
    );
}
