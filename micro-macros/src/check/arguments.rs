//! Rules for the arguments of a handler: a context, then the request of the `.proto`.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, Result};

use crate::model::Handler;
use crate::table::Rpc;
use crate::type_match::{are_swapped, has_wrong_streaming, is_context, is_request};

pub(super) fn takes_context_and_request(handler: &Handler, rpc: &Rpc) -> Result<()> {
    let arguments = handler.arguments();
    let (problem, place) = match arguments.as_slice() {
        [_, _] => return Ok(()),
        [] => ("`Context` and the request are missing", None),
        [one] if is_context(&one.ty, rpc) => ("the request is missing", Some(one)),
        [one] if is_request(&one.ty, rpc) => ("`Context` is missing", Some(one)),
        [one] => ("an argument is missing", Some(one)),
        [_, _, extra, ..] => ("one argument too many", Some(extra)),
    };
    let message = format!(
        "{problem}: expected `(&self, {})` ({})",
        rpc.arguments(),
        rpc.place
    );
    match place {
        Some(argument) => Err(Error::new_spanned(argument, message)),
        None => Err(Error::new_spanned(handler.name(), message)),
    }
}

pub(super) fn in_order(handler: &Handler, rpc: &Rpc) -> Result<()> {
    match handler.arguments().as_slice() {
        [first, second] if are_swapped(first, second, rpc) => {
            let inputs = &handler.signature.inputs;
            let arguments = inputs
                .pairs()
                .skip(usize::from(handler.signature.receiver().is_some()));
            let tokens = arguments
                .map(ToTokens::into_token_stream)
                .collect::<TokenStream>();
            let message = format!("arguments are swapped: expected `{}`", rpc.arguments());
            Err(Error::new_spanned(tokens, message))
        }
        _ => Ok(()),
    }
}

pub(super) fn takes_one_message(handler: &Handler, rpc: &Rpc) -> Result<()> {
    match handler.arguments().as_slice() {
        [_, request] if !rpc.kind.streams_requests() && has_wrong_streaming(&request.ty, rpc) => {
            Err(Error::new_spanned(
                &request.ty,
                format!(
                    "`{}` is declared with a single request ({}): take `{}`",
                    rpc.name,
                    rpc.place,
                    rpc.request_argument()
                ),
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn takes_a_stream(handler: &Handler, rpc: &Rpc) -> Result<()> {
    match handler.arguments().as_slice() {
        [_, request] if rpc.kind.streams_requests() && has_wrong_streaming(&request.ty, rpc) => {
            Err(Error::new_spanned(
                &request.ty,
                format!(
                    "`{}` is declared with `(stream {})` ({}): take `{}`",
                    rpc.name,
                    rpc.request.name(),
                    rpc.place,
                    rpc.request_argument()
                ),
            ))
        }
        _ => Ok(()),
    }
}
