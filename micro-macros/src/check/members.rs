//! What stands in the impl: every method of the .proto, and nothing else.

use quote::ToTokens;
use syn::{Error, Result};

use crate::model::{Handler, Member, ServiceImpl};
use crate::recognize::{is_async_trait, is_context, is_rewritten};
use crate::roles::{meant, missing};
use crate::table::Table;

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
    match service.handlers().find(|handler| is_rewritten(handler)) {
        Some(handler) => Err(Error::new_spanned(handler.name(), MESSAGE)),
        None => Ok(()),
    }
}

pub(super) fn only_methods(member: &Member, service: &ServiceImpl, table: &Table) -> Result<()> {
    let ty = service.header.self_ty.to_token_stream();
    let message = match member {
        Member::Handler(_) | Member::Verbatim(_) => return Ok(()),
        Member::Const(name, _) => {
            format!(
                "`{name}` is not an RPC of `{}`; move it to `impl {ty} {{ … }}`",
                table.service
            )
        }
        Member::Type(name, _) => format!(
            "`{name}` is not an RPC of `{}`; move it out of the impl",
            table.service
        ),
        Member::MacroCall(path, _) => format!(
            "`#[service]` cannot see the methods that `{}!` writes; write them here, or leave out `#[service]`",
            path.to_token_stream().to_string().replace(' ', "")
        ),
    };
    Err(Error::new_spanned(member, message))
}

pub(super) fn is_known(handler: &Handler, service: &ServiceImpl, table: &Table) -> Result<()> {
    let (name, trait_name) = (handler.name(), &table.service);
    if table.rpc(name).is_some() {
        return Ok(());
    }
    let message = match meant(handler, service, table) {
        Some(rpc) => format!(
            "`{trait_name}` has no RPC `{name}`; did you mean `{}` ({})?",
            rpc.method, rpc.place
        ),
        None if is_rpc_like(handler, table) => {
            let names = table
                .rpcs
                .iter()
                .map(|rpc| format!("`{}`", rpc.method))
                .collect::<Vec<_>>()
                .join(", ");
            format!(
                "`{trait_name}` has no RPC `{name}` ({}); it has {names}",
                table.place
            )
        }
        None => {
            let ty = service.header.self_ty.to_token_stream();
            format!("`{name}` is not an RPC of `{trait_name}`; move it to `impl {ty} {{ … }}`")
        }
    };
    Err(Error::new_spanned(name, message))
}

pub(super) fn is_complete(service: &ServiceImpl, table: &Table) -> Result<()> {
    let missing = missing(service, table);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing
        .iter()
        .map(|rpc| format!("`{}` ({})", rpc.method, rpc.place))
        .collect::<Vec<_>>()
        .join(", ");
    let what = if missing.len() == 1 { "an RPC" } else { "RPCs" };
    let mut message = format!("`{}` lacks {what}: {names}; add", table.service);
    for rpc in missing {
        message += &format!("\n\n    {} {{\n        todo!()\n    }}", rpc.signature());
    }
    Err(Error::new_spanned(&service.service, message))
}

/// Whether a function of an unknown name was written to be called by clients.
fn is_rpc_like(handler: &Handler, table: &Table) -> bool {
    let is_context = |ty| table.rpcs.iter().all(|rpc| is_context(ty, rpc));
    handler
        .arguments()
        .iter()
        .any(|argument| is_context(&argument.ty))
}
