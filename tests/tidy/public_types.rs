//! Without features, no public item of micro-runtime names a type of async-nats, whose next release would then be a
//! breaking change of ours.
//!
//! rustc's lint `unreachable_pub` leaves `pub` to what a user can reach, so that signatures with `pub` are the
//! interface. What macros expand to is not seen.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, ItemTrait, TraitItem, Visibility};

use crate::code_paths::{CodePaths, is_cfg_test};
use crate::outline::Outline;
use crate::source::Source;

const PACKAGE: &str = "micro-runtime";
const HIDDEN_CRATE: &str = "async_nats";
/// Features whose items may name it. Those that begin with `__` are no part of the interface.
const OPEN_FEATURES: &[&str] = &["async-nats", "__"];

/// A public signature, with the name of its item.
struct Signature {
    name: String,
    tokens: TokenStream,
}

/// Checks the sources of one package.
pub(crate) fn names_no_async_nats(sources: &[&Source]) -> Vec<String> {
    let is_checked =
        |source: &&Source| source.package == PACKAGE && source.local_path().starts_with("src/");
    let sources: Vec<_> = sources.iter().copied().filter(is_checked).collect();
    let files: Vec<_> = sources.iter().map(|source| items(source)).collect();
    let open: Vec<_> = sources
        .iter()
        .zip(&files)
        .flat_map(|(source, items)| open_modules(source, items))
        .collect();
    let public: BTreeSet<_> = files.iter().flatten().filter_map(public_type).collect();
    let mut violations = vec![];
    for (source, items) in sources.iter().zip(files) {
        let is_open = |module: &String| {
            let below = source.path.strip_prefix(module.as_str());
            below.is_some_and(|below| below == ".rs" || below.starts_with('/'))
        };
        if !open.iter().any(is_open) {
            violations.extend(check_file(source, &items, &public));
        }
    }
    violations
}

fn items(source: &Source) -> Vec<Item> {
    let file = syn::parse_file(&source.text).unwrap_or_else(|e| panic!("{}: {e}", source.path));
    file.items
}

/// Paths, without `.rs`, of the modules that a file declares for [`OPEN_FEATURES`].
fn open_modules(source: &Source, items: &[Item]) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib"]
        .iter()
        .find_map(|end| stem.strip_suffix(end))
        .unwrap_or(stem);
    let declared = items.iter().filter_map(|item| match item {
        Item::Mod(module) if is_open(&module.attrs) => Some(format!("{folder}/{}", module.ident)),
        _ => None,
    });
    declared.collect()
}

/// Name of a type or trait that is public.
fn public_type(item: &Item) -> Option<String> {
    let (name, visibility) = match item {
        Item::Enum(item) => (&item.ident, &item.vis),
        Item::Struct(item) => (&item.ident, &item.vis),
        Item::Trait(item) => (&item.ident, &item.vis),
        Item::Type(item) => (&item.ident, &item.vis),
        _ => return None,
    };
    is_public(visibility).then(|| name.to_string())
}

fn check_file(source: &Source, items: &[Item], public: &BTreeSet<String>) -> Vec<String> {
    let outline = Outline::parse(&source.text).unwrap_or_default();
    let is_hidden = |path: &[String]| path.first().is_some_and(|first| first == HIDDEN_CRATE);
    let imports = outline.imports.iter();
    let imported: BTreeSet<_> = imports
        .filter(|import| is_hidden(&import.path))
        .map(|import| import.name.as_str())
        .collect();
    let is_ours = |name: &&String| !imported.contains(name.as_str());
    let public = public.iter().filter(is_ours).cloned().collect();
    let mut signatures = vec![];
    for item in items {
        add_signatures(item, &public, &mut signatures);
    }
    let names_it = |signature: &&Signature| {
        let paths = CodePaths::of(signature.tokens.clone()).paths;
        paths
            .iter()
            .any(|path| is_hidden(path) || imported.contains(path[0].as_str()))
    };
    let violations = signatures.iter().filter(names_it).map(|signature| {
        let advice = format!(
            "`{}` names a type of async-nats: write a type of ours, or put it behind the feature `async-nats`",
            signature.name
        );
        source.at(source.line_of(&signature.name), &advice)
    });
    violations.collect()
}

fn add_signatures(item: &Item, public: &BTreeSet<String>, found: &mut Vec<Signature>) {
    let mut add = |name: &dyn ToString, tokens: TokenStream| {
        let name = name.to_string();
        found.push(Signature { name, tokens });
    };
    match item {
        Item::Use(item) if is_interface(&item.vis, &item.attrs) => {
            let tree = &item.tree;
            // As a path, so that a crate alone counts, too.
            add(&HIDDEN_CRATE, quote!(fn f() -> #tree;));
        }
        Item::Const(item) if is_interface(&item.vis, &item.attrs) => {
            add(&item.ident, item.ty.to_token_stream());
        }
        Item::Static(item) if is_interface(&item.vis, &item.attrs) => {
            add(&item.ident, item.ty.to_token_stream());
        }
        Item::Fn(item) if is_interface(&item.vis, &item.attrs) => {
            add(&item.sig.ident, item.sig.to_token_stream());
        }
        Item::Type(item) if is_interface(&item.vis, &item.attrs) => {
            add(&item.ident, item.to_token_stream());
        }
        Item::Struct(item) if is_interface(&item.vis, &item.attrs) => {
            add(&item.ident, item.generics.to_token_stream());
            add(&item.ident, public_fields(&item.fields, false));
        }
        Item::Enum(item) if is_interface(&item.vis, &item.attrs) => {
            add(&item.ident, item.generics.to_token_stream());
            for variant in &item.variants {
                add(&variant.ident, public_fields(&variant.fields, true));
            }
        }
        Item::Trait(item) if is_interface(&item.vis, &item.attrs) => {
            add(&item.ident, trait_signatures(item));
        }
        Item::Impl(item) if !is_exempt(&item.attrs) => add_impl(item, public, found),
        Item::Mod(item) if !is_exempt(&item.attrs) => {
            let items = item.content.iter().flat_map(|(_, items)| items);
            items.for_each(|item| add_signatures(item, public, found));
        }
        _ => {}
    }
}

/// Adds the methods and constants of a type, or the header and the types of a trait's implementation: the trait has
/// its methods.
fn add_impl(item: &ItemImpl, public: &BTreeSet<String>, found: &mut Vec<Signature>) {
    let of_type = &item.self_ty;
    let header = item
        .trait_
        .as_ref()
        .map(|(_, path, _)| quote!(#path, #of_type));
    if let Some(header) = &header {
        let is_public_name =
            |path: Vec<String>| path.last().is_some_and(|name| public.contains(name));
        let paths = CodePaths::of(header.clone()).paths;
        if !paths.into_iter().any(is_public_name) {
            return;
        }
        let name = of_type.to_token_stream().to_string();
        let tokens = header.clone();
        found.push(Signature { name, tokens });
    }
    for member in &item.items {
        let (name, attributes, tokens) = match member {
            ImplItem::Fn(member) if header.is_none() && is_public(&member.vis) => {
                let tokens = member.sig.to_token_stream();
                (&member.sig.ident, &member.attrs, tokens)
            }
            ImplItem::Const(member) if header.is_none() && is_public(&member.vis) => {
                (&member.ident, &member.attrs, member.ty.to_token_stream())
            }
            ImplItem::Type(member) => (&member.ident, &member.attrs, member.ty.to_token_stream()),
            _ => continue,
        };
        if !is_exempt(attributes) {
            let name = name.to_string();
            found.push(Signature { name, tokens });
        }
    }
}

/// Types of the fields that a user sees; those of an enum's variant are all public.
fn public_fields(fields: &Fields, are_all: bool) -> TokenStream {
    let seen = fields
        .iter()
        .filter(|field| are_all || is_interface(&field.vis, &field.attrs));
    seen.map(|field| {
        let ty = &field.ty;
        quote!((#ty))
    })
    .collect()
}

/// A trait without the bodies of its methods.
fn trait_signatures(item: &ItemTrait) -> TokenStream {
    let mut item = item.clone();
    for member in &mut item.items {
        if let TraitItem::Fn(method) = member {
            method.default = None;
        }
    }
    item.to_token_stream()
}

fn is_interface(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    is_public(visibility) && !is_exempt(attributes)
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_exempt(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| is_cfg_test(&attribute.meta.to_token_stream());
    is_open(attributes) || attributes.iter().any(is_test)
}

/// Whether an item is there with one of [`OPEN_FEATURES`] alone.
fn is_open(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().map(|attribute| {
        attribute
            .meta
            .to_token_stream()
            .to_string()
            .replace(' ', "")
    });
    conditions.into_iter().any(|condition| {
        let named = |feature: &str| condition.starts_with(&format!("cfg(feature=\"{feature}"));
        OPEN_FEATURES.iter().any(|feature| named(feature))
    })
}

/// `expected` is the item that is caught in `src/bus.rs`, or empty.
#[cfg(test)]
fn check(root: &str, text: &str, expected: &str) {
    let path = |file: &str| format!("{PACKAGE}/src/{file}");
    let sources = [
        Source::new(PACKAGE, &path("lib.rs"), root),
        Source::new(PACKAGE, &path("bus.rs"), text),
    ];
    let found = names_no_async_nats(&sources.iter().collect::<Vec<_>>());
    let caught = found
        .iter()
        .all(|line| line.contains(&format!("`{expected}`")));
    assert!(
        caught && found.is_empty() == expected.is_empty(),
        "{text}\n{found:?}"
    );
}

#[test]
fn a_type_of_async_nats_in_the_interface_is_caught() {
    let check = |text: &str, expected: &str| {
        let text = format!("use async_nats::{{Client, Subject as Name}};\npub struct Bus;\n{text}");
        check("mod bus;", &text, expected);
        check("#[cfg(feature = \"async-nats\")]\npub mod bus;", &text, "");
        check("#[cfg(feature = \"__bench\")]\npub mod bus;", &text, "");
    };
    check("pub fn f(client: Client) {}", "f");
    check(
        "impl Bus { pub async fn nats(&self) -> Option<&Client> { None } }",
        "nats",
    );
    check("pub struct Message { pub subject: Name }", "Message");
    check("pub enum Source { Nats(Client) }", "Nats");
    check("pub type Inner = async_nats::Message;", "Inner");
    check("pub use async_nats::Message;", "async_nats");
    check("pub use async_nats;", "async_nats");
    check("pub trait Send { fn send(&self, to: Name); }", "Send");
    check(
        "impl From<Client> for Bus { fn from(_: Client) -> Self { Self } }",
        "Bus",
    );
    check("impl Stream for Bus { type Item = Name; }", "Item");
    check("pub fn f(self: impl Fn(&Name)) {}", "f");
}

#[test]
fn what_users_do_not_see_may_name_async_nats() {
    let check = |text: &str| {
        let text = format!("use async_nats::Client;\npub struct Bus;\n{text}");
        check("mod bus;", &text, "");
    };
    check("pub(crate) fn f(client: Client) {}");
    check("pub fn f() { let client: Client = connect(); }");
    check("pub struct Message { client: Client }");
    check("pub use crate::client::Client;");
    check("trait Prober {} impl Prober for Client { type Of = Client; }");
    check("struct Private; impl From<Client> for Private { fn from(_: Client) -> Self { Self } }");
    check("impl Bus { pub(crate) fn nats(&self) -> Client { self.0 } }");
    check("#[cfg(feature = \"async-nats\")] pub use async_nats;");
    check("#[cfg(test)] pub fn f(client: Client) {}");
}
