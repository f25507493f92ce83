//! Expands the macros.
//!
//! `#[service]` expands to a call of the companion table, and that to a call of `service_impl!` with the
//! description of the service and the impl.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, Path, Result, braced};

use crate::arc_receiver::expand_handler;
use crate::args::ServiceArgs;
use crate::check::check;
use crate::errors::Errors;
use crate::fallback::fallback;
use crate::model::{Member, ServiceImpl};
use crate::options::options;
use crate::table::{Table, section};
use crate::target::{event, service_path};

/// Expands `#[service]`: passes the impl to the companion table, which has the path of the trait.
pub(crate) fn service(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = ServiceArgs::from_tokens(args, &mut errors);
    let path = errors.keep(service_path(item));
    let errors = errors.into_tokens();
    match path {
        Some(path) => {
            let args = args.runtime.map(|runtime| quote! { crate = #runtime });
            quote! { #errors #path! { user { #args } { #item } } }
        }
        None => quote! { #errors #item },
    }
}

/// Expands `service_impl!`: validates the impl against the companion table.
pub(crate) fn service_impl(input: TokenStream) -> TokenStream {
    let ServiceInput { table, item } = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return other_version(&error).into_compile_error(),
    };
    validate(&table, item)
}

/// Expands `subscriber_impl!`: validates the handler of an event against the runtime's trait.
pub(crate) fn subscriber_impl(input: TokenStream) -> TokenStream {
    let subscriber: SubscriberInput = match syn::parse2(input) {
        Ok(subscriber) => subscriber,
        Err(error) => return error.into_compile_error(),
    };
    let SubscriberInput { runtime, item } = subscriber;
    match event(&item) {
        Some(event) => validate(&Table::of_subscriber(runtime, event), item),
        // Without an event type the trait's path is incomplete, which rustc reports.
        None => item,
    }
}

/// Returns the impl if it is valid, or else its errors with a repaired impl.
fn validate(table: &Table, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Ok(service) = ServiceImpl::from_tokens(item.clone(), &mut errors) else {
        // rustc reports syntax errors.
        return item;
    };
    check(&service, table, &mut errors);
    if errors.is_empty() {
        return implementation(&service, table);
    }
    let errors = errors.into_tokens();
    let repaired = fallback(service, table);
    quote! { #errors #repaired }
}

/// Expands `#[rpc]` to an error, since `#[service]` removes the attribute where it is allowed.
pub(crate) fn rpc(item: &TokenStream) -> TokenStream {
    let message = "`#[rpc]` has no effect here: it belongs on a method of a `#[service]` impl";
    let error = Error::new(Span::call_site(), message).into_compile_error();
    quote! { #error #item }
}

/// Returns the impl unchanged, with the options of `#[rpc(…)]` as a constant.
fn implementation(service: &ServiceImpl, table: &Table) -> TokenStream {
    let options = options(service, table);
    let members = service.members.iter().map(|member| match member {
        Member::Handler(handler) => expand_handler(handler, table),
        other => other.to_token_stream(),
    });
    service.with(quote! { #options #(#members)* })
}

/// Input of `subscriber_impl!`.
struct SubscriberInput {
    runtime: Path,
    item: TokenStream,
}

/// Input of `service_impl!`.
struct ServiceInput {
    table: Table,
    item: TokenStream,
}

impl Parse for ServiceInput {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut table: Table = input.parse()?;
        let (args, item) = user(input)?;
        table.runtime = args.runtime.unwrap_or(table.runtime);
        Ok(Self { table, item })
    }
}

impl Parse for SubscriberInput {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let runtime = section(input, "runtime")?.call(Path::parse_mod_style)?;
        let (args, item) = user(input)?;
        let runtime = args.runtime.unwrap_or(runtime);
        Ok(Self { runtime, item })
    }
}

/// Parses `user { args } { item }`, the part that `#[service]` passes to a companion table.
fn user(input: ParseStream<'_>) -> Result<(ServiceArgs, TokenStream)> {
    let word: Ident = input.parse()?;
    if word != "user" {
        return Err(Error::new_spanned(&word, format!("unknown part `{word}`")));
    }
    let (args, item);
    braced!(args in input);
    braced!(item in input);
    let args = ServiceArgs::from_tokens(args.parse()?, &mut Errors::default());
    Ok((args, item.parse()?))
}

/// Creates the error for a companion table that this version cannot parse.
fn other_version(error: &Error) -> Error {
    Error::new(
        error.span(),
        format!(
            "the code for this service was written by a micro-build that this micro-runtime {} does not understand \
         ({error}); use micro-build and micro-runtime of the same version",
            env!("CARGO_PKG_VERSION")
        ),
    )
}
