//! Expands handlers that take `self: Arc<Self>`.
//!
//! A method of the trait takes `&self`, and a hidden method beside it takes an `Arc`. The server calls
//! the hidden one, which by default calls the other.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

use crate::model::Handler;
use crate::table::{Contract, Rpc, Table};
use crate::type_match::is_arc;

/// Returns the handler unchanged, or as the hidden method if it takes an `Arc`.
pub(crate) fn expand_handler(handler: &Handler, table: &Table) -> TokenStream {
    let takes_arc = handler.signature.receiver().is_some_and(is_arc);
    match table.rpc(handler.name()).filter(|_| takes_arc) {
        Some(rpc) => {
            let (hidden, required) = (hidden(handler, rpc), required(handler, rpc, table));
            quote! { #hidden #required }
        }
        None => handler.to_token_stream(),
    }
}

/// Returns the handler under the name of the hidden method.
fn hidden(handler: &Handler, rpc: &Rpc) -> TokenStream {
    let mut hidden = handler.clone();
    hidden.signature.ident = format_ident!("__shared_{}", rpc.method, span = handler.name().span());
    hidden.to_token_stream()
}

/// Returns the method that takes `&self`, with an error as its reply.
///
/// The trait requires the method, and only code that calls the handler directly reaches it.
fn required(handler: &Handler, rpc: &Rpc, table: &Table) -> TokenStream {
    let (method, runtime) = (&rpc.method, &table.runtime);
    let (request, output) = (table.request(rpc), table.output(rpc));
    let conditions = handler.conditions();
    let through = match table.contract {
        Contract::Service => format!("{}Server", table.service),
        Contract::Subscriber => "Server::subscribe".to_owned(),
    };
    let why = format!(
        "`{method}` takes `self: Arc<Self>`, so it is called through `{through}`, also in tests"
    );
    quote! {
        #(#conditions)*
        async fn #method(&self, _: #runtime::Context, _: #request) -> #output {
            ::core::result::Result::Err(#runtime::Status::unimplemented(#why))
        }
    }
}
