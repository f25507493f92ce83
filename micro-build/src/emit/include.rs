//! One file that includes those of all packages, as modules inside of modules.

use std::collections::BTreeMap;

use super::ALLOW;
use crate::naming;

/// A package, and the packages inside of it by the name of their module.
#[derive(Default)]
struct Tree<'a> {
    package: Option<&'a str>,
    inside: BTreeMap<String, Self>,
}

/// The module tree of `packages`. Their files are looked for in cargo's `OUT_DIR`, or else beside
/// the file that this is written to.
pub(crate) fn modules<'a>(packages: impl IntoIterator<Item = &'a str>, in_out_dir: bool) -> String {
    let mut root = Tree::default();
    for package in packages {
        let mut tree = &mut root;
        for part in package.split('.').filter(|part| !part.is_empty()) {
            tree = tree.inside.entry(naming::module(part)).or_default();
        }
        tree.package = Some(package);
    }
    let mut text = String::new();
    root.write(&mut text, "", in_out_dir);
    text
}

impl Tree<'_> {
    fn write(&self, text: &mut String, indent: &str, in_out_dir: bool) {
        if let Some(package) = self.package {
            let file = format!("{}.rs", naming::file_stem(package));
            let include = match in_out_dir {
                true => format!("concat!(env!(\"OUT_DIR\"), \"/{file}\")"),
                false => format!("\"{file}\""),
            };
            text.push_str(&format!("{indent}include!({include});\n"));
        }
        for (module, inside) in &self.inside {
            text.push_str(&format!("{indent}{ALLOW}\n{indent}pub mod {module} {{\n"));
            inside.write(text, &format!("{indent}    "), in_out_dir);
            text.push_str(&format!("{indent}}}\n"));
        }
    }
}
