//! Emits the client: one method per RPC, and no other inherent name that could collide with one.

use proc_macro2::TokenStream;
use quote::quote;

use super::lints::allow;
use super::scope::{MethodScope, ServiceScope};
use crate::model::Kind;

pub(super) fn emit(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
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
    let summary = format!(" Client of `{}`, with one method per RPC.", scope.trait_);
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
            const SERVICE: &'static #rt::descriptor::ServiceDescriptor = &#descriptor;

            fn from_client(client: #rt::codegen::Client) -> Self {
                Self(client)
            }
        }
    }
}

fn call(method: &MethodScope<'_>, scope: &ServiceScope<'_>) -> TokenStream {
    let rt = scope.rt;
    let MethodScope {
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
        pub fn #name(&self #parameter) -> #rt::call::#builder<#request, #reply> {
            #rt::codegen::#kind(&self.0, #index #argument)
        }
    }
}
