//! Emits the file that includes the code of all packages as nested modules.

use std::collections::BTreeMap;

use super::lints::ALLOW;
use crate::naming;

/// Module of a package or of a part of one, with its child modules by name.
#[derive(Default)]
struct ModuleTree<'a> {
    package: Option<&'a str>,
    children: BTreeMap<String, Self>,
}

/// Returns the source of the module tree of `packages`.
///
/// It includes the packages' files from cargo's `OUT_DIR` if `in_out_dir` is set, or else from the
/// folder of the file that contains the tree.
pub(crate) fn modules<'a>(packages: impl IntoIterator<Item = &'a str>, in_out_dir: bool) -> String {
    let mut root = ModuleTree::default();
    for package in packages {
        let mut tree = &mut root;
        for part in package.split('.').filter(|part| !part.is_empty()) {
            tree = tree.children.entry(naming::module(part)).or_default();
        }
        tree.package = Some(package);
    }
    let mut text = String::new();
    root.write(&mut text, "", in_out_dir);
    text
}

impl ModuleTree<'_> {
    fn write(&self, text: &mut String, indent: &str, in_out_dir: bool) {
        if let Some(package) = self.package {
            let file = format!("{}.rs", naming::file_stem(package));
            let include = match in_out_dir {
                true => format!("concat!(env!(\"OUT_DIR\"), \"/{file}\")"),
                false => format!("\"{file}\""),
            };
            text.push_str(&format!("{indent}include!({include});\n"));
        }
        for (module, children) in &self.children {
            text.push_str(&format!("{indent}{ALLOW}\n{indent}pub mod {module} {{\n"));
            children.write(text, &format!("{indent}    "), in_out_dir);
            text.push_str(&format!("{indent}}}\n"));
        }
    }
}
