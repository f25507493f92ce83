//! Checks the item that `#[service]` is written on, which must be the impl of a service trait.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Error, GenericArgument, ItemImpl, Path, PathArguments, Result, Type};

use crate::errors::shown;
use crate::model::header;

/// Returns the path of the service's trait, which is also the path of its companion table.
pub(crate) fn service_path(item: &TokenStream) -> Result<Path> {
    let keyword = keyword(item);
    match keyword.as_ref().map(ToString::to_string).as_deref() {
        Some("impl") => {
            let (header, _) = header(item.clone())?;
            let service = has_trait(&header)?;
            Ok(without_generics(service))
        }
        Some("trait") => Err(on_the_trait(item)),
        _ => Err(not_an_impl(item, keyword.as_ref())),
    }
}

/// Creates the error for an item that is neither an impl nor a trait.
fn not_an_impl(item: &TokenStream, keyword: Option<&Ident>) -> Error {
    let name = keyword.and_then(|keyword| name_after(item, keyword));
    let name = name
        .as_ref()
        .map_or("Handler".to_owned(), ToString::to_string);
    let message = match keyword.map(ToString::to_string).as_deref() {
        Some(kind @ ("struct" | "enum" | "union")) => {
            let article = if kind == "struct" { "a" } else { "an" };
            let article = if kind == "union" { "a" } else { article };
            format!("not on {article} {kind}; write `#[service] impl Greeter for {name} {{ … }}`")
        }
        Some("fn") => {
            format!(
                "not on a function; put `{name}` into `#[service] impl Greeter for English {{ … }}`"
            )
        }
        Some("mod") => {
            format!(
                "not on a module; put it on each `impl Greeter for English {{ … }}` inside of `{name}`"
            )
        }
        _ => "as in `#[service] impl Greeter for English { … }`".to_owned(),
    };
    let message = format!("`#[service]` goes on the impl of a service trait, {message}");
    Error::new_spanned(
        keyword.map_or_else(|| item.clone(), ToTokens::to_token_stream),
        message,
    )
}

/// Creates the error for the attribute on a trait.
fn on_the_trait(item: &TokenStream) -> Error {
    let keyword = keyword(item);
    let name = keyword
        .as_ref()
        .and_then(|keyword| name_after(item, keyword));
    let name = name.map_or("Greeter".to_owned(), |name| name.to_string());
    let message = format!(
        "`#[service]` goes on the impl for your handler, not on the trait: micro-build writes the trait from \
         the .proto, and you write `#[service] impl {name} for English {{ … }}`"
    );
    Error::new_spanned(keyword, message)
}

fn has_trait(header: &ItemImpl) -> Result<Path> {
    match &header.trait_ {
        Some((_, path, _)) => Ok(path.clone()),
        None => {
            let ty = shown(&header.self_ty);
            let message =
                format!("`#[service]` needs the service trait here, as in `impl Greeter for {ty}`");
            Err(Error::new_spanned(&header.self_ty, message))
        }
    }
}

/// Returns the event of `impl Subscriber<Event> for …`.
pub(crate) fn event(item: &TokenStream) -> Option<Type> {
    let (header, _) = header(item.clone()).ok()?;
    let (_, path, _) = header.trait_?;
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(event)) if arguments.args.len() == 1 => Some(event.clone()),
        _ => None,
    }
}

fn without_generics(mut path: Path) -> Path {
    for segment in &mut path.segments {
        segment.arguments = PathArguments::None;
    }
    path
}

/// Returns the keyword of an item, such as `struct`.
fn keyword(item: &TokenStream) -> Option<Ident> {
    const KINDS: [&str; 11] = [
        "impl",
        "struct",
        "enum",
        "union",
        "trait",
        "mod",
        "fn",
        "type",
        "static",
        "use",
        "macro_rules",
    ];
    item.clone().into_iter().find_map(|token| match token {
        TokenTree::Ident(word) if KINDS.contains(&word.to_string().as_str()) => Some(word),
        _ => None,
    })
}

fn name_after(item: &TokenStream, keyword: &Ident) -> Option<Ident> {
    let tokens = item.clone().into_iter();
    let mut rest =
        tokens.skip_while(|token| !matches!(token, TokenTree::Ident(word) if word == keyword));
    match rest.nth(1) {
        Some(TokenTree::Ident(name)) => Some(name),
        _ => None,
    }
}
