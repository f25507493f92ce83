//! Outline of a source file: its submodules, definitions and imports, and the paths in its code.

use std::collections::BTreeSet;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, ItemImpl, ItemUse, Meta, UseTree, Visibility};

use crate::code_paths::{CodePaths, Path, is_cfg_test};

#[derive(Default)]
pub(crate) struct Outline {
    pub(crate) submodules: Vec<Submodule>,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) imports: Vec<Import>,
    /// Paths in code, without imports and tests. The path of a macro call without `::` ends with `!`.
    pub(crate) mentions: BTreeSet<Path>,
}

/// `mod name;` or `mod name { … }`.
pub(crate) struct Submodule {
    pub(crate) name: String,
    pub(crate) is_test: bool,
    /// Values of `#[path = "…"]` and `#[cfg_attr(…, path = "…")]`, relative to the file's folder.
    pub(crate) paths: Vec<String>,
    /// Whether the file may also have the default path.
    pub(crate) has_default_path: bool,
    pub(crate) inline: Option<Outline>,
}

/// An item that is neither a module nor an import.
pub(crate) struct Definition {
    /// Keyword, as in `struct`; `macro` or `macro argument`.
    pub(crate) kind: String,
    /// Name, or the type for an `impl`.
    pub(crate) name: String,
    pub(crate) is_test: bool,
    pub(crate) is_private: bool,
    /// Whether rustc requires or moves it to the root of the crate: `#[macro_export]`, `#[proc_macro]`.
    pub(crate) is_root_macro: bool,
}

/// One name that a `use` imports, `*` for a glob.
pub(crate) struct Import {
    pub(crate) path: Path,
    pub(crate) name: String,
    pub(crate) is_test: bool,
}

pub(crate) const GLOB: &str = "*";

/// Kind of the names in a call of a macro that defines items.
const MACRO_ARGUMENT: &str = "macro argument";

const ITEM_KEYWORDS: &[&str] = &[
    "const", "enum", "fn", "static", "struct", "trait", "type", "union",
];

impl Outline {
    pub(crate) fn parse(text: &str) -> syn::Result<Self> {
        Ok(Self::of(syn::parse_file(text)?.items))
    }

    fn of(items: Vec<Item>) -> Self {
        let mut outline = Self::default();
        for item in items {
            outline.add(item);
        }
        let has_glob = outline.imports.iter().any(|import| import.name == GLOB);
        let is_macro = |path: &Path| path[0].ends_with('!');
        outline
            .mentions
            .retain(|path| has_glob || path.len() > 1 || is_macro(path));
        outline
    }

    fn add(&mut self, item: Item) {
        let is_test = attributes(&item).iter().any(is_test);
        match item {
            Item::Mod(module) => {
                let named: Vec<(String, bool)> = module.attrs.iter().filter_map(path).collect();
                self.submodules.push(Submodule {
                    name: module.ident.to_string(),
                    is_test,
                    has_default_path: named.iter().all(|(_, is_conditional)| *is_conditional),
                    paths: named.into_iter().map(|(path, _)| path).collect(),
                    inline: module.content.map(|(_, items)| Self::of(items)),
                });
            }
            Item::Use(import) => self.import(&import, is_test),
            item => {
                if let Some(definition) = definition(&item, is_test) {
                    self.definitions.push(definition);
                } else if let Item::Macro(call) = &item {
                    let definitions = macro_definitions(&call.mac.tokens, is_test);
                    self.definitions.extend(definitions);
                }
                if !is_test {
                    let code = CodePaths::of(item.to_token_stream());
                    self.mentions.extend(code.paths);
                    code.imports
                        .iter()
                        .for_each(|import| self.import(import, false));
                }
            }
        }
    }

    fn import(&mut self, import: &ItemUse, is_test: bool) {
        if import.leading_colon.is_none() {
            flatten(&import.tree, &mut vec![], &mut |path, name| {
                self.imports.push(Import {
                    path,
                    name,
                    is_test,
                });
            });
        }
    }
}

// Items.

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn definition(item: &Item, is_test: bool) -> Option<Definition> {
    let of = |kind: &str, name: &dyn ToString, visibility: &Visibility| Definition {
        kind: kind.to_owned(),
        name: name.to_string(),
        is_test,
        is_private: matches!(visibility, Visibility::Inherited),
        is_root_macro: attributes(item).iter().any(is_root_macro),
    };
    Some(match item {
        Item::Const(item) => of("const", &item.ident, &item.vis),
        Item::Enum(item) => of("enum", &item.ident, &item.vis),
        Item::Fn(item) => of("fn", &item.sig.ident, &item.vis),
        Item::Impl(item) => of("impl", &type_name(item), &Visibility::Inherited),
        Item::Macro(item) => of("macro", item.ident.as_ref()?, &Visibility::Inherited),
        Item::Static(item) => of("static", &item.ident, &item.vis),
        Item::Struct(item) => of("struct", &item.ident, &item.vis),
        Item::Trait(item) => of("trait", &item.ident, &item.vis),
        Item::Type(item) => of("type", &item.ident, &item.vis),
        Item::Union(item) => of("union", &item.ident, &item.vis),
        _ => return None,
    })
}

/// Definitions that a macro call may expand to: items after their keyword, as in
/// `pin_project! { struct … }`, and every other name among the arguments.
fn macro_definitions(tokens: &TokenStream, is_test: bool) -> Vec<Definition> {
    let mut found = vec![];
    let mut kind = None;
    for token in tokens.clone() {
        let TokenTree::Ident(word) = token else {
            kind = None;
            continue;
        };
        let word = word.to_string();
        if ITEM_KEYWORDS.contains(&&*word) {
            kind = Some(word);
        } else {
            found.push(Definition {
                kind: kind.take().unwrap_or_else(|| MACRO_ARGUMENT.to_owned()),
                name: word,
                is_test,
                is_private: false,
                is_root_macro: false,
            });
        }
    }
    found
}

/// The type of an `impl`, without its arguments.
fn type_name(item: &ItemImpl) -> String {
    let name = item.self_ty.to_token_stream().to_string();
    name.split([' ', '<']).next().unwrap_or_default().to_owned()
}

fn flatten(tree: &UseTree, base: &mut Path, found: &mut impl FnMut(Path, String)) {
    let with = |base: &Path, name: &Ident| {
        let mut path = base.clone();
        if name != "self" || base.is_empty() {
            path.push(name.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(tree) => {
            base.push(tree.ident.to_string());
            flatten(&tree.tree, base, found);
            base.pop();
        }
        UseTree::Name(tree) => {
            let path = with(base, &tree.ident);
            let name = path.last().cloned().unwrap_or_default();
            found(path, name);
        }
        UseTree::Rename(tree) => found(with(base, &tree.ident), tree.rename.to_string()),
        UseTree::Glob(_) => found(base.clone(), GLOB.to_owned()),
        UseTree::Group(tree) => {
            for tree in &tree.items {
                flatten(tree, base, found);
            }
        }
    }
}

// Attributes.

fn is_test(attribute: &Attribute) -> bool {
    is_cfg_test(&attribute.meta.to_token_stream())
}

fn is_root_macro(attribute: &Attribute) -> bool {
    [
        "macro_export",
        "proc_macro",
        "proc_macro_attribute",
        "proc_macro_derive",
    ]
    .iter()
    .any(|name| attribute.path().is_ident(name))
}

/// The file that an attribute names for a module, and whether it does so under a condition.
fn path(attribute: &Attribute) -> Option<(String, bool)> {
    let is_conditional = attribute.path().is_ident("cfg_attr");
    let tokens: Vec<TokenTree> = match &attribute.meta {
        Meta::List(list) if is_conditional => list.tokens.clone().into_iter().collect(),
        meta => meta.to_token_stream().into_iter().collect(),
    };
    tokens.windows(3).find_map(|window| match window {
        [
            TokenTree::Ident(name),
            TokenTree::Punct(_),
            TokenTree::Literal(file),
        ] if name == "path" => Some((
            file.to_string().trim_matches('"').to_owned(),
            is_conditional,
        )),
        _ => None,
    })
}
