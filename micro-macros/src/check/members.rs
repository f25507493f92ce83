//! Rules for the items of the impl: every method of the `.proto`, and nothing else.

use proc_macro2::Ident;
use syn::{Error, Result};

use crate::errors::shown;
use crate::method_match::{missing, resolve};
use crate::model::{Handler, Member, ServiceImpl};
use crate::suggestions::list;
use crate::table::{Contract, Table};
use crate::type_match::{is_async_trait, is_context, is_rewritten_by_async_trait};

pub(super) fn no_async_trait(service: &ServiceImpl) -> Result<()> {
    const MESSAGE: &str = "remove `#[async_trait]`: the methods of a service are plain `async fn`";
    if let Some(attribute) = service
        .header
        .attrs
        .iter()
        .find(|attribute| is_async_trait(attribute))
    {
        return Err(Error::new_spanned(attribute, MESSAGE));
    }
    match service
        .handlers()
        .find(|handler| is_rewritten_by_async_trait(handler))
    {
        Some(handler) => Err(Error::new_spanned(handler.name(), MESSAGE)),
        None => Ok(()),
    }
}

pub(super) fn only_methods(member: &Member, service: &ServiceImpl, table: &Table) -> Result<()> {
    let message = match member {
        Member::Handler(_) | Member::Verbatim(_) => return Ok(()),
        Member::Const(name, _) => not_an_rpc_message(name, service, table),
        Member::Type(name, _) => {
            format!(
                "`{name}` is not {} of `{}`; move it out of the impl",
                one(table),
                service.name()
            )
        }
        Member::MacroCall(path, _) => format!(
            "`#[service]` cannot see the methods that `{}!` writes; write them here, or leave out `#[service]`",
            shown(path)
        ),
    };
    Err(Error::new_spanned(member, message))
}

pub(super) fn is_known(handler: &Handler, service: &ServiceImpl, table: &Table) -> Result<()> {
    let name = handler.name();
    if table.rpc(name).is_some() {
        return Ok(());
    }
    let unknown = format!("`{}` has no {} `{name}`", service.name(), table.noun());
    let message = match resolve(handler, service, table) {
        Some(rpc) => format!("{unknown}; did you mean `{}` ({})?", rpc.method, rpc.place),
        None if takes_context(handler, table) => {
            let names: Vec<_> = table
                .rpcs
                .iter()
                .map(|rpc| rpc.method.to_string())
                .collect();
            format!("{unknown} ({}); it has {}", table.place, list(&names))
        }
        None => not_an_rpc_message(name, service, table),
    };
    Err(Error::new_spanned(name, message))
}

pub(super) fn is_complete(service: &ServiceImpl, table: &Table) -> Result<()> {
    let missing = missing(service, table);
    if missing.is_empty() {
        return Ok(());
    }
    let what = if missing.len() == 1 {
        one(table)
    } else {
        "RPCs"
    };
    let places = missing
        .iter()
        .map(|rpc| format!("`{}` ({})", rpc.method, rpc.place));
    let places = places.collect::<Vec<_>>().join(", ");
    let mut message = format!("`{}` lacks {what}: {places}; add", service.name());
    for rpc in missing {
        message += &format!("\n\n    {} {{\n        todo!()\n    }}", rpc.signature());
    }
    Err(Error::new_spanned(&service.service, message))
}

/// Returns the noun for one item of the contract, with its article.
///
/// The method of the trait for events is not an RPC.
fn one(table: &Table) -> &'static str {
    match table.contract {
        Contract::Service => "an RPC",
        Contract::Subscriber => "a method",
    }
}

/// Returns the message for an item that belongs in an inherent impl.
fn not_an_rpc_message(name: &Ident, service: &ServiceImpl, table: &Table) -> String {
    let (generics, ty) = (
        shown(&service.header.generics),
        shown(&service.header.self_ty),
    );
    format!(
        "`{name}` is not {} of `{}`; move it to `impl{generics} {ty} {{ … }}`",
        one(table),
        service.name()
    )
}

/// Returns whether a function of an unknown name is meant as an RPC, since it takes a context.
fn takes_context(handler: &Handler, table: &Table) -> bool {
    let is_context = |ty| table.rpcs.iter().all(|rpc| is_context(ty, rpc));
    handler
        .arguments()
        .iter()
        .any(|argument| is_context(&argument.ty))
}
