//! The client: one method for each of the service, and no other name of its own.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Scope, ScopedMethod, allow};
use crate::model::Kind;

pub(super) fn emit(scope: &Scope<'_>) -> TokenStream {
    let Scope {
        rt,
        client,
        descriptor,
        ..
    } = scope;
    let (allow, docs, deprecated) = (allow(), scope.service_docs(), scope.deprecated());
    let attributes = scope
        .settings
        .client_attributes
        .of(&scope.service.full_name);
    let methods = scope.methods.iter().map(|method| call(method, scope));
    let summary = format!(" Calls `{}` over the bus.", scope.trait_);
    quote! {
        #[doc = #summary]
        #[doc = ""]
        #docs
        #deprecated
        #allow
        #(#attributes)*
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        pub struct #client(#rt::codegen::Client);

        #allow
        impl #client {
            #(#methods)*
        }

        #allow
        impl #rt::codegen::ServiceClient for #client {
            const SERVICE: &'static #rt::ServiceDescriptor = &#descriptor;

            fn from_client(client: #rt::codegen::Client) -> Self {
                Self(client)
            }
        }
    }
}

fn call(method: &ScopedMethod<'_>, scope: &Scope<'_>) -> TokenStream {
    let rt = scope.rt;
    let ScopedMethod {
        name,
        index,
        request,
        reply,
        ..
    } = method;
    let (docs, kind) = (method.docs(scope), method.kind());
    let builder = match method.method.kind {
        Kind::Unary => quote!(UnaryCall),
        Kind::ServerStreaming => quote!(ServerStreamingCall),
        Kind::ClientStreaming => quote!(ClientStreamingCall),
        Kind::Bidirectional => quote!(BidirectionalCall),
    };
    let (parameter, argument) = match method.method.kind {
        Kind::Unary | Kind::ServerStreaming => (quote!(, request: #request), quote!(, request)),
        Kind::ClientStreaming | Kind::Bidirectional => (quote!(), quote!()),
    };
    quote! {
        #docs
        pub fn #name(&self #parameter) -> #rt::#builder<#request, #reply> {
            #rt::codegen::#kind(&self.0, #index #argument)
        }
    }
}
