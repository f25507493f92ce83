//! Loads the modules of a crate from the root file of a target, as rustc does.

use std::collections::HashSet;
use std::mem;

use crate::outline::{Outline, Submodule};
use crate::source::Source;

/// A library, binary, test, or build script. Its root is module 0.
pub(crate) struct ModuleTree<'a> {
    pub(crate) modules: Vec<Module<'a>>,
}

pub(crate) struct Module<'a> {
    /// As in `bus::nats`, empty for the root. Two files that replace each other by feature have one path.
    pub(crate) path: String,
    /// For each segment of the path, which of the files with this path it is, counted from 0.
    alternatives: Vec<usize>,
    /// Index of the module that declares it. The root declares itself.
    pub(crate) parent: usize,
    /// Names and indexes of the modules that it declares.
    pub(crate) children: Vec<(String, usize)>,
    pub(crate) source: &'a Source,
    pub(crate) is_inline: bool,
    pub(crate) is_test: bool,
    /// Without the submodules, which are modules of the tree.
    pub(crate) outline: Outline,
}

impl Module<'_> {
    /// Whether the two replace each other by feature, or are below files that do.
    pub(crate) fn is_alternative_to(&self, other: &Self) -> bool {
        let segments = self.path.split("::").zip(other.path.split("::"));
        let alternatives = self.alternatives.iter().zip(&other.alternatives);
        let mut shared = segments
            .zip(alternatives)
            .take_while(|((one, other), _)| one == other);
        shared.any(|(_, (one, other))| one != other)
    }
}

/// Loads one tree for each target of the package in the folder `package`. A file that no other file declares is a
/// target as well: trybuild compiles each of its cases by itself.
pub(crate) fn load_targets<'a>(package: &str, sources: &'a [Source]) -> Vec<ModuleTree<'a>> {
    let mut trees = vec![];
    let mut reached = HashSet::new();
    let is_any = |_: &str| true;
    for is_root in [is_target_root, is_any] {
        for source in sources.iter().filter(|source| source.package == package) {
            if is_root(source.local_path()) && !reached.contains(&source.path) {
                let tree = Loader::new(sources).load_root(source);
                reached.extend(tree.modules.iter().map(|module| &module.source.path));
                trees.push(tree);
            }
        }
    }
    trees
}

/// Whether Cargo takes the file for a target. `path` begins in the folder of the package.
fn is_target_root(path: &str) -> bool {
    let (folder, name) = split(path);
    let folders = [
        "",
        "src/bin",
        "tests",
        "benches",
        "examples",
        "fuzz_targets",
    ];
    matches!(name, "lib.rs" | "main.rs" | "build.rs") || folders.contains(&folder)
}

struct Loader<'a> {
    sources: &'a [Source],
    modules: Vec<Module<'a>>,
}

impl<'a> Loader<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let modules = vec![];
        Self { sources, modules }
    }

    fn load_root(mut self, root: &'a Source) -> ModuleTree<'a> {
        let module = Module {
            path: String::new(),
            alternatives: vec![],
            parent: 0,
            children: vec![],
            source: root,
            is_inline: false,
            is_test: false,
            outline: parse(root),
        };
        self.load(module, split(&root.path).0);
        ModuleTree {
            modules: self.modules,
        }
    }

    /// `folder` contains the files of its submodules.
    fn load(&mut self, mut module: Module<'a>, folder: &str) -> usize {
        let submodules = mem::take(&mut module.outline.submodules);
        let index = self.modules.len();
        self.modules.push(module);
        for submodule in submodules {
            let name = submodule.name.clone();
            for child in self.load_submodule(index, submodule, folder) {
                self.modules[index].children.push((name.clone(), child));
            }
        }
        index
    }

    fn load_submodule(&mut self, parent: usize, submodule: Submodule, folder: &str) -> Vec<usize> {
        let above = &self.modules[parent];
        let path = format!("{}::{}", above.path, submodule.name);
        let siblings = above.children.iter();
        let same_path = siblings.filter(|(name, _)| *name == submodule.name).count();
        let alternatives = above.alternatives.clone();
        let is_test = above.is_test || submodule.is_test;
        let module = |index, source, is_inline, outline| Module {
            path: path.trim_start_matches(':').to_owned(),
            alternatives: [&alternatives[..], &[same_path + index]].concat(),
            parent,
            children: vec![],
            source,
            is_inline,
            is_test,
            outline,
        };
        let declared_in = above.source;
        let files = self.files(&submodule, declared_in, folder);
        if let Some(outline) = submodule.inline {
            let folder = join(folder, &submodule.name);
            return vec![self.load(module(0, declared_in, true, outline), &folder)];
        }
        assert!(
            !files.is_empty(),
            "{}: found no file for `mod {}`",
            declared_in.path,
            submodule.name
        );
        files
            .into_iter()
            .enumerate()
            .map(|(index, (source, folder))| {
                self.load(module(index, source, false, parse(source)), &folder)
            })
            .collect()
    }

    /// Returns the files of a declared module, each with the folder of its own submodules.
    fn files(
        &self,
        declared: &Submodule,
        declared_in: &Source,
        folder: &str,
    ) -> Vec<(&'a Source, String)> {
        let mut found = vec![];
        for path in &declared.paths {
            let path = join(split(&declared_in.path).0, path);
            let folder = split(&path).0.to_owned();
            found.extend(self.source(&path).map(|source| (source, folder)));
        }
        if declared.has_default_path {
            let own = join(folder, &declared.name);
            for path in [format!("{own}.rs"), format!("{own}/mod.rs")] {
                found.extend(self.source(&path).map(|source| (source, own.clone())));
            }
        }
        found
    }

    fn source(&self, path: &str) -> Option<&'a Source> {
        self.sources.iter().find(|source| source.path == path)
    }
}

/// A case that must not compile may not even parse, and then has no items.
fn parse(source: &Source) -> Outline {
    match Outline::parse(&source.text) {
        Err(error) if !source.path.contains("/fail/") => panic!("{}: {error}", source.path),
        outline => outline.unwrap_or_default(),
    }
}

/// The folder and the name of a file.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// `path` from `folder`, without `..`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}
