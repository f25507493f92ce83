//! Repairs the signature of one handler, and leaves its correct parts unchanged.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{FnArg, Generics, PatType, ReturnType, Signature, parse_quote};

use crate::model::Handler;
use crate::table::{Rpc, Table};
use crate::type_match::{
    are_swapped, future_output, has_wrong_streaming, is_by_value, is_context, is_exclusive,
    is_generic, is_impl, is_impl_stream, is_reply, is_request, is_rewritten_by_async_trait,
    is_wrong_output, result,
};

/// Context for repairing one handler.
pub(crate) struct Repair<'a> {
    pub(crate) handler: &'a Handler,
    pub(crate) rpc: &'a Rpc,
    pub(crate) table: &'a Table,
}

impl Repair<'_> {
    /// Returns the handler with the correct signature, and with its body if that still compiles.
    pub(crate) fn repaired(&self) -> Handler {
        let mut repaired = self.handler.clone();
        repaired.signature.ident = self.name();
        let fits = [
            self.repair_qualifiers(&mut repaired.signature),
            self.repair_receiver(&mut repaired.signature),
            self.repair_arguments(&mut repaired.signature),
            self.repair_output(&mut repaired.signature),
        ];
        if fits.contains(&false) {
            let conditions = self.handler.conditions();
            repaired.attributes = parse_quote! {
                #(#conditions)* #[allow(unreachable_code, unused_variables)]
            };
            repaired.body = unreachable_body(&repaired.signature, self.table);
        }
        repaired
    }

    fn name(&self) -> Ident {
        let mut name = self.rpc.method.clone();
        name.set_span(self.handler.name().span());
        name
    }

    /// Repairs the qualifiers, such as `async`, and the generics.
    ///
    /// Like the other repairs, returns whether the body still compiles.
    fn repair_qualifiers(&self, signature: &mut Signature) -> bool {
        let is_safe = signature.unsafety.is_none();
        (signature.constness, signature.unsafety, signature.abi) = (None, None, None);
        let is_rewritten_by_async_trait = is_rewritten_by_async_trait(self.handler);
        if is_rewritten_by_async_trait || is_reply(self.handler.output(), self.rpc) {
            signature.asyncness.get_or_insert_with(Default::default);
        }
        let is_generic = is_generic(signature);
        if is_rewritten_by_async_trait || is_generic {
            signature.generics = Generics::default();
        }
        is_safe && !is_rewritten_by_async_trait && !is_generic
    }

    fn repair_receiver(&self, signature: &mut Signature) -> bool {
        let receiver = signature.receiver();
        let is_wrong =
            receiver.is_some_and(|receiver| is_exclusive(receiver) || is_by_value(receiver));
        if is_wrong || receiver.is_none() || is_rewritten_by_async_trait(self.handler) {
            let others = signature
                .inputs
                .iter()
                .filter(|input| matches!(input, FnArg::Typed(_)));
            signature.inputs = parse_quote! { &self, #(#others),* };
        }
        !is_wrong
    }

    fn repair_arguments(&self, signature: &mut Signature) -> bool {
        let receiver = signature.receiver().cloned().map(FnArg::Receiver);
        let arguments = self.handler.arguments();
        let context = arguments
            .iter()
            .find(|argument| is_context(&argument.ty, self.rpc));
        let request = arguments
            .iter()
            .find(|argument| is_request(&argument.ty, self.rpc));
        let (context, request) = match arguments.as_slice() {
            [first, second] if !are_swapped(first, second, self.rpc) => (Some(first), Some(second)),
            _ => (context, request),
        };
        let runtime = &self.table.runtime;
        let context: PatType = context
            .copied()
            .cloned()
            .unwrap_or_else(|| parse_quote! { _: #runtime::Context });
        let right = self.table.request(self.rpc);
        let is_wrong = request.is_some_and(|request| {
            has_wrong_streaming(&request.ty, self.rpc) || is_impl(&request.ty)
        });
        let mut request: PatType = request
            .copied()
            .cloned()
            .unwrap_or_else(|| parse_quote! { _: #right });
        if is_wrong {
            *request.ty = right;
        }
        signature.inputs = parse_quote! { #receiver, #context, #request };
        !is_wrong && arguments.len() <= 2
    }

    fn repair_output(&self, signature: &mut Signature) -> bool {
        let right = match self.handler.output() {
            Some(output) if is_rewritten_by_async_trait(self.handler) => {
                future_output(output).cloned()
            }
            Some(output) if !is_wrong_output(output, self.rpc) => return true,
            _ => None,
        };
        let right = right.unwrap_or_else(|| self.table.output(self.rpc));
        signature.output = parse_quote! { -> #right };
        false
    }
}

/// Returns a stub for a missing method.
pub(crate) fn stub(rpc: &Rpc, table: &Table) -> TokenStream {
    let (method, runtime) = (&rpc.method, &table.runtime);
    let (request, output) = (table.request(rpc), table.output(rpc));
    quote! {
        async fn #method(&self, _: #runtime::Context, _: #request) -> #output {
            ::core::unreachable!()
        }
    }
}

/// Returns an unreachable body for `signature`.
///
/// An opaque reply stream gets a concrete type, since rustc could not infer one.
fn unreachable_body(signature: &Signature, table: &Table) -> TokenStream {
    let runtime = &table.runtime;
    match &signature.output {
        ReturnType::Type(_, output) if result(output).is_some_and(is_impl_stream) => quote! {{
            let reply: ::core::result::Result<#runtime::Streaming<_>, _> = ::core::unreachable!();
            reply
        }},
        _ => quote! {{ ::core::unreachable!() }},
    }
}
