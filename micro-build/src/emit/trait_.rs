//! The trait that a handler implements.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Scope, ScopedMethod, allow};
use crate::model::Kind;

pub(super) fn emit(scope: &Scope<'_>) -> TokenStream {
    let Scope { rt, trait_, .. } = scope;
    let (allow, docs, deprecated) = (allow(), scope.service_docs(), scope.deprecated());
    let attributes = scope.settings.trait_attributes.of(&scope.service.full_name);
    let methods = scope.methods.iter().map(|method| signature(method, scope));
    let message = format!("`{{Self}}` does not serve `{trait_}`");
    let label = format!("missing `#[service] impl {trait_} for {{Self}}`");
    let note = format!("the contract is {}", braces_escaped(&scope.contract()));
    quote! {
        #docs
        #deprecated
        #allow
        #[diagnostic::on_unimplemented(message = #message, label = #label, note = #note)]
        #(#attributes)*
        pub trait #trait_: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*

            /// Options that `#[service]` reads from `#[rpc(…)]`.
            #[doc(hidden)]
            const __MICRO_RPC: &'static [#rt::codegen::RpcOptions] = &[];
        }
    }
}

fn signature(method: &ScopedMethod<'_>, scope: &Scope<'_>) -> TokenStream {
    let rt = scope.rt;
    let ScopedMethod {
        name,
        request,
        reply,
        ..
    } = method;
    let docs = method.docs(scope);
    let argument = match method.method.kind {
        Kind::Unary | Kind::ServerStreaming => quote!(request: #request),
        Kind::ClientStreaming | Kind::Bidirectional => quote!(requests: #rt::Streaming<#request>),
    };
    let output = match method.method.kind {
        Kind::Unary | Kind::ClientStreaming => quote!(#reply),
        Kind::ServerStreaming | Kind::Bidirectional => quote!(impl #rt::ReplyStream<#reply>),
    };
    quote! {
        #docs
        fn #name(&self, ctx: #rt::Context, #argument) -> impl ::core::future::Future<
            Output = ::core::result::Result<#output, #rt::Status>
        > + ::core::marker::Send;
    }
}

/// rustc reads braces in these texts as parameters.
fn braces_escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
