//! Repairs an impl with errors into one that compiles, so that each error is reported once.
//!
//! Without it, rustc would add follow-up errors, in the impl and where the handler is used. The body of
//! a handler is kept if it still compiles with the repaired signature, so that editors can analyze it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};

use crate::arc_receiver::expand_handler;
use crate::method_match::{missing, resolve};
use crate::model::{Member, ServiceImpl};
use crate::repair::{Repair, stub};
use crate::table::Table;
use crate::type_match::is_async_trait;

/// Returns the repaired impl, and an inherent impl with its other items.
pub(crate) fn fallback(mut service: ServiceImpl, table: &Table) -> TokenStream {
    service
        .header
        .attrs
        .retain(|attribute| !is_async_trait(attribute));
    let (mut members, mut helpers) = (TokenStream::new(), TokenStream::new());
    let mut served: Vec<&Ident> = Vec::new();
    for member in &service.members {
        match member {
            Member::Const(_, tokens) => tokens.to_tokens(&mut helpers),
            Member::Type(..) => {}
            Member::MacroCall(_, tokens) | Member::Verbatim(tokens) => {
                tokens.to_tokens(&mut members);
            }
            Member::Handler(handler) => match resolve(handler, &service, table) {
                None => handler.to_tokens(&mut helpers),
                Some(rpc) if rpc.method != *handler.name() && served.contains(&&rpc.method) => {}
                Some(rpc) => {
                    served.push(&rpc.method);
                    let repair = Repair {
                        handler,
                        rpc,
                        table,
                    };
                    members.extend(expand_handler(&repair.repaired(), table));
                }
            },
        }
    }
    let stubs = missing(&service, table).into_iter();
    members.extend(stubs.map(|rpc| stub(rpc, table)));
    let service_impl = service.with(members);
    let helpers = (!helpers.is_empty()).then(|| inherent(&service, &helpers));
    quote! { #service_impl #helpers }
}

/// Returns an inherent impl with the items that are not RPCs, so that calls of them compile.
fn inherent(service: &ServiceImpl, helpers: &TokenStream) -> TokenStream {
    let (generics, ty) = (&service.header.generics, &service.header.self_ty);
    let where_clause = &generics.where_clause;
    quote! { #[allow(dead_code)] impl #generics #ty #where_clause { #helpers } }
}
