//! Resolves the paths in the files of a crate to the files that define their items.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::module_tree::{ModuleTree, load_targets};
use crate::outline::GLOB;
use crate::source::{Source, sample};

/// `from` has a path to an item of `to`.
pub(crate) struct Use<'a> {
    pub(crate) from: &'a Source,
    pub(crate) to: &'a Source,
    /// One of these paths.
    pub(crate) path: String,
}

impl Use<'_> {
    pub(crate) fn line(&self) -> usize {
        self.from.line_of(&self.path)
    }
}

/// Returns the uses between files, one per pair. Re-exports are followed to the definition.
/// `#[cfg(test)] mod tests { … }` does not count for its file.
pub(crate) fn file_uses<'a>(tree: &ModuleTree<'a>) -> Vec<Use<'a>> {
    let mut uses = BTreeMap::new();
    let modules = tree.modules.iter().enumerate();
    for (index, module) in modules.filter(|(_, module)| !(module.is_inline && module.is_test)) {
        let outline = &module.outline;
        let imports = outline.imports.iter().filter(|import| !import.is_test);
        let paths = imports.map(|import| &import.path).chain(&outline.mentions);
        for path in paths {
            for target in tree.resolve(index, path) {
                let Target::Item(definer) = target else {
                    continue;
                };
                let (from, to) = (module.source, tree.modules[definer].source);
                if from.path != to.path {
                    let path = path.join("::");
                    let pair = (&from.path, &to.path);
                    uses.entry(pair).or_insert(Use { from, to, path });
                }
            }
        }
    }
    uses.into_values().collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(usize),
    /// Any other item, as the module that defines it.
    Item(usize),
}

/// Names that a lookup has tried, each with its module. Re-exports of each other would never end otherwise.
type Seen<'a> = HashSet<(usize, &'a str)>;

impl ModuleTree<'_> {
    fn resolve(&self, from: usize, path: &[String]) -> BTreeSet<Target> {
        let targets = self.resolve_from(from, path, &mut HashSet::new());
        match path {
            [name] if targets.is_empty() && name.ends_with('!') => self.macro_above(from, name),
            _ => targets,
        }
    }

    fn resolve_from<'a>(
        &'a self,
        from: usize,
        path: &'a [String],
        seen: &mut Seen<'a>,
    ) -> BTreeSet<Target> {
        let mut targets = BTreeSet::from([Target::Module(from)]);
        for segment in path {
            let mut next = BTreeSet::new();
            for target in targets {
                match (target, &**segment) {
                    (Target::Module(_), "crate") => next.extend([Target::Module(0)]),
                    (Target::Module(module), "self") => next.extend([Target::Module(module)]),
                    (Target::Module(module), "super") => {
                        next.extend([Target::Module(self.modules[module].parent)]);
                    }
                    (Target::Module(module), name) => {
                        next.extend(self.lookup(module, name.trim_end_matches('!'), seen));
                    }
                    // A variant or an associated item.
                    (item @ Target::Item(_), _) => next.extend([item]),
                }
            }
            targets = next;
        }
        targets
    }

    /// Returns all meanings of `name` in a module: files that replace each other by feature share their name.
    fn lookup<'a>(&'a self, from: usize, name: &'a str, seen: &mut Seen<'a>) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        if !seen.insert((from, name)) {
            return found;
        }
        let module = &self.modules[from];
        let mut definitions = module.outline.definitions.iter();
        if definitions.any(|definition| definition.name == name && definition.kind != "impl") {
            found.insert(Target::Item(from));
        }
        let children = module.children.iter().filter(|(child, _)| child == name);
        found.extend(children.map(|(_, child)| Target::Module(*child)));
        for import in module
            .outline
            .imports
            .iter()
            .filter(|import| import.name == name)
        {
            found.extend(self.resolve_from(from, &import.path, seen));
        }
        if from == 0 {
            found.extend(self.exported_macro(name));
        }
        if found.is_empty() {
            for import in module
                .outline
                .imports
                .iter()
                .filter(|import| import.name == GLOB)
            {
                for target in self.resolve_from(from, &import.path, seen) {
                    if let Target::Module(module) = target {
                        found.extend(self.lookup(module, name, seen));
                    }
                }
            }
        }
        found
    }

    /// Finds a macro with `#[macro_export]`, which belongs to the root.
    fn exported_macro(&self, name: &str) -> Option<Target> {
        let modules = 0..self.modules.len();
        let mut definers = modules.filter(|module| self.defines_macro(*module, name, true));
        definers.next().map(Target::Item)
    }

    /// Finds a macro of a parent module, which its submodules may call as `name!`, without a path.
    fn macro_above(&self, from: usize, name: &str) -> BTreeSet<Target> {
        let mut module = from;
        while module != 0 {
            module = self.modules[module].parent;
            if self.defines_macro(module, name.trim_end_matches('!'), false) {
                return BTreeSet::from([Target::Item(module)]);
            }
        }
        BTreeSet::new()
    }

    fn defines_macro(&self, module: usize, name: &str, is_exported: bool) -> bool {
        let mut definitions = self.modules[module].outline.definitions.iter();
        definitions.any(|definition| {
            let is_visible = definition.is_root_macro || !is_exported;
            definition.kind == "macro" && definition.name == name && is_visible
        })
    }
}

/// Checks which files `src/user.rs` uses, in a crate with these modules.
fn check(user: &str, expected: &[&str]) {
    let sources = sample(&[
        (
            "src/lib.rs",
            "macro_rules! log { () => {} } mod macros; mod bus; mod user; mod api { include!(\"api.rs\"); }",
        ),
        (
            "src/macros.rs",
            "#[macro_export] macro_rules! warn { () => {} }",
        ),
        (
            "src/bus/mod.rs",
            "mod nats; pub(crate) mod mux; pub(crate) use nats::{Made, Nats, self as driver};\n#[cfg_attr(feature = \"x\", path = \"json_off.rs\")] pub(crate) mod json;",
        ),
        (
            "src/bus/nats.rs",
            "pub(crate) struct Nats; pub(crate) fn connect() {} made!(Made);",
        ),
        (
            "src/bus/mux.rs",
            "pub(crate) enum Slot { Free } pub(crate) use super::nats::Nats as Carrier;",
        ),
        ("src/bus/json.rs", "pub(crate) fn read() {}"),
        ("src/bus/json_off.rs", "pub(crate) fn read() {}"),
        ("src/user.rs", user),
        ("src/user/child.rs", "pub(crate) fn f() {}"),
    ]);
    let targets = load_targets("micro-sample", &sources);
    let uses = targets.iter().flat_map(file_uses);
    let used: Vec<&str> = uses
        .filter(|used| used.from.local_path() == "src/user.rs")
        .map(|used| &used.to.local_path()["src/".len()..])
        .collect();
    assert_eq!(used, expected, "{user}");
}

#[test]
fn imports_lead_to_the_files_that_define() {
    check("use crate::bus::Nats;", &["bus/nats.rs"]);
    check(
        "use crate::bus::{self, mux::{Slot, Carrier}};",
        &["bus/mux.rs", "bus/nats.rs"],
    );
    check("use crate::bus::mux::Slot::Free;", &["bus/mux.rs"]);
    check("use super::bus::mux::Carrier as C;", &["bus/nats.rs"]);
    check("use crate::bus::Made;", &["bus/nats.rs"]);
    check(
        "use crate::bus::json::read;",
        &["bus/json.rs", "bus/json_off.rs"],
    );
    check("use crate::bus::*; fn f() { Nats; }", &["bus/nats.rs"]);
    check("use crate::bus::mux::*; fn f(x: Slot) {}", &["bus/mux.rs"]);
    check("mod child; use child::f;", &["user/child.rs"]);
    check("fn f() { use crate::bus::Nats; }", &["bus/nats.rs"]);
    check(
        "use crate::api::Generated; use std::fs; use ::bus::Nats;",
        &[],
    );
    check("use crate::bus; use crate::bus::mux; mod child;", &[]);
    check("#[cfg(test)] use crate::bus::Nats;", &[]);
}

#[test]
fn paths_in_code_lead_to_the_files_that_define() {
    check("fn f() { crate::bus::driver::connect() }", &["bus/nats.rs"]);
    check(
        "use crate::bus; fn f() -> bus::mux::Slot { bus::mux::Slot::Free }",
        &["bus/mux.rs"],
    );
    check(
        "use crate::bus::mux as m; fn f() { println!(\"{}\", m::Slot::Free) }",
        &["bus/mux.rs"],
    );
    check("mod child; fn f() { child::f() }", &["user/child.rs"]);
    check(
        "fn f() { <crate::bus::Nats as Default>::default() }",
        &["bus/nats.rs"],
    );
    check("fn f() { log!() }", &["lib.rs"]);
    check("fn f() { crate::warn!() }", &["macros.rs"]);
    check(
        "use crate::bus; fn f(x: X) { x.bus::<u8>(); ::bus::mux::Slot; }",
        &[],
    );
    check("macro_rules! m { () => { $crate::bus::Nats } }", &[]);
    check(
        "/// [crate::bus::Nats]\nfn f() { \"crate::bus::Nats\" }",
        &[],
    );
    check("impl X { #[cfg(test)] fn f() { crate::bus::Nats } }", &[]);
    check("#[cfg(test)] mod tests { use crate::bus::Nats; }", &[]);
}
