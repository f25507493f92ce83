//! Rules for the form of every handler: an `async fn` that takes `&self`.

use quote::ToTokens;
use syn::{Error, Result};

use crate::model::Handler;
use crate::table::Rpc;
use crate::type_match::{is_by_value, is_exclusive, is_generic, is_impl, is_reply};

/// Requires an `async fn`, or a `fn` that returns a future.
pub(super) fn is_async(handler: &Handler, rpc: &Rpc) -> Result<()> {
    if handler.signature.asyncness.is_some() || !is_reply(handler.output(), rpc) {
        return Ok(());
    }
    let message = format!(
        "handler `{0}` must be an `async fn`: write `async fn {0}`",
        handler.name()
    );
    Err(Error::new_spanned(handler.signature.fn_token, message))
}

pub(super) fn has_receiver(handler: &Handler, _: &Rpc) -> Result<()> {
    if handler.signature.receiver().is_some() {
        return Ok(());
    }
    let message = format!("handler `{}` takes `&self` first", handler.name());
    let place = match handler.signature.inputs.first() {
        Some(first) => first.to_token_stream(),
        None => handler.name().to_token_stream(),
    };
    Err(Error::new_spanned(place, message))
}

pub(super) fn shares_self(handler: &Handler, _: &Rpc) -> Result<()> {
    match handler.signature.receiver() {
        Some(receiver) if is_exclusive(receiver) => Err(Error::new_spanned(
            receiver,
            "handlers run concurrently and take `&self`; keep what changes in a `Mutex`, an atomic or a channel",
        )),
        _ => Ok(()),
    }
}

pub(super) fn borrows_self(handler: &Handler, _: &Rpc) -> Result<()> {
    match handler.signature.receiver() {
        Some(receiver) if is_by_value(receiver) => Err(Error::new_spanned(
            receiver,
            "a handler serves many calls: take `&self`, or `self: Arc<Self>` for a task that outlives the call",
        )),
        _ => Ok(()),
    }
}

/// Rejects type and const parameters. Lifetimes are allowed, since an impl may name them.
pub(super) fn is_not_generic(handler: &Handler, _: &Rpc) -> Result<()> {
    if !is_generic(&handler.signature) {
        return Ok(());
    }
    let mut arguments = handler.arguments().into_iter();
    let place = match arguments.find(|argument| is_impl(&argument.ty)) {
        Some(argument) => argument.ty.to_token_stream(),
        None => handler.signature.generics.to_token_stream(),
    };
    let message = format!(
        "handler `{}` cannot be generic: its types are those of the .proto",
        handler.name()
    );
    Err(Error::new_spanned(place, message))
}

pub(super) fn is_safe(handler: &Handler, _: &Rpc) -> Result<()> {
    forbids(handler.signature.unsafety.as_ref(), handler, "unsafe")
}

pub(super) fn is_not_const(handler: &Handler, _: &Rpc) -> Result<()> {
    forbids(handler.signature.constness.as_ref(), handler, "const")
}

pub(super) fn is_not_extern(handler: &Handler, _: &Rpc) -> Result<()> {
    forbids(handler.signature.abi.as_ref(), handler, "extern")
}

fn forbids(found: Option<&impl ToTokens>, handler: &Handler, word: &str) -> Result<()> {
    let message = format!(
        "handler `{}` cannot be `{word}`: remove the word",
        handler.name()
    );
    found.map_or(Ok(()), |token| Err(Error::new_spanned(token, message)))
}
