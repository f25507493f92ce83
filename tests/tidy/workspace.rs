//! Reads the sources of the workspace: those of its members, and of the packages that it excludes.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::module_tree::{ModuleTree, load_targets};
use crate::source::Source;

/// All sources, sorted by path.
pub(crate) static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let mut sources = vec![];
    let packages = packages();
    for package in &packages {
        read(package, package, &packages, &mut sources);
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
});

/// The modules of every target of every package.
pub(crate) static TARGETS: LazyLock<Vec<ModuleTree<'static>>> = LazyLock::new(|| {
    let load = |package: &String| load_targets(package, &SOURCES);
    packages().iter().flat_map(load).collect()
});

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the workspace")
}

/// Folders of the packages.
pub(crate) fn packages() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the root has a manifest");
    let mut packages = list(&manifest, "members");
    packages.extend(list(&manifest, "exclude"));
    packages
}

/// The strings of the array `name` of a manifest.
fn list(manifest: &str, name: &str) -> Vec<String> {
    let start = format!("\n{name} = [");
    let Some((_, rest)) = manifest.split_once(&start) else {
        return vec![];
    };
    let (array, _) = rest.split_once(']').unwrap_or((rest, ""));
    let strings = array.split('"').skip(1).step_by(2);
    strings.map(str::to_owned).collect()
}

/// Reads the sources below `folder`, without those of other packages and of code that programs write.
fn read(package: &str, folder: &str, packages: &[String], sources: &mut Vec<Source>) {
    for name in entries(&root().join(folder)) {
        let path = format!("{folder}/{name}");
        let full = root().join(&path);
        if full.is_dir() && !packages.contains(&path) {
            read(package, &path, packages, sources);
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(full).expect("a source is UTF-8");
            if !text.starts_with("// @generated") {
                sources.push(Source::new(package, &path, &text));
            }
        }
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let is_ours = |name: &String| !name.starts_with('.') && name != "target" && name != "golden";
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.expect("a folder can be read").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(is_ours)
        .collect()
}

#[test]
fn an_array_of_a_manifest_is_read() {
    let check = |manifest: &str, expected: &[&str]| {
        assert_eq!(list(manifest, "members"), expected, "{manifest}");
    };
    check(
        "[workspace]\nmembers = [\n    \"a\",\n    \"b/c\",\n]\n",
        &["a", "b/c"],
    );
    check(
        "[workspace]\ndefault-members = [\"a\"]\nmembers = [\"b\"]\n",
        &["b"],
    );
    check("[workspace]\n", &[]);
}
