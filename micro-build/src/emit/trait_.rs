//! The trait that a handler implements.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Scope, ScopedMethod, allow};
use crate::model::Kind;

pub(super) fn emit(scope: &Scope<'_>) -> TokenStream {
    let Scope {
        rt,
        trait_,
        messages,
        ..
    } = scope;
    let (allow, docs, deprecated) = (allow(), scope.service_docs(), scope.deprecated());
    let attributes = scope.settings.trait_attributes.of(&scope.service.full_name);
    let methods = scope.methods.iter().map(|method| signature(method, scope));
    let shared = scope.methods.iter().map(|method| shared(method, scope));
    let message = format!("`{{Self}}` does not serve `{trait_}`");
    let label = format!("missing `#[service] impl {trait_} for {{Self}}`");
    let note = format!("the contract is {}", braces_escaped(&scope.contract()));
    quote! {
        #docs
        #deprecated
        #allow
        #[diagnostic::on_unimplemented(message = #message, label = #label, note = #note)]
        #(#attributes)*
        pub trait #trait_: #messages + ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*

            #(#shared)*

            /// Options that `#[service]` reads from `#[rpc(…)]`.
            #[doc(hidden)]
            const __MICRO_RPC: &'static [#rt::codegen::RpcOptions] = &[];
        }
    }
}

fn signature(method: &ScopedMethod<'_>, scope: &Scope<'_>) -> TokenStream {
    let rt = scope.rt;
    let (name, docs) = (&method.name, method.docs(scope));
    let (argument, argument_type) = argument(method, scope);
    let output = output(method, scope);
    quote! {
        #docs
        fn #name(&self, ctx: #rt::Context, #argument: #argument_type) -> #output;
    }
}

/// What the server calls. A handler that is asked to borrow itself is lent here; one that wants the
/// `Arc` gets it from `#[service]`, which overrides this.
fn shared(method: &ScopedMethod<'_>, scope: &Scope<'_>) -> TokenStream {
    let rt = scope.rt;
    let ScopedMethod {
        name,
        shared,
        reply,
        ..
    } = method;
    let (argument, argument_type) = argument(method, scope);
    let output = output(method, scope);
    // What a handler returns names the borrow of the handler in its type, although it is `'static`;
    // boxing it where the borrow still lives takes the name away.
    let boxed = has_reply_stream(method).then(|| {
        quote! {
            .map(|replies| -> ::core::pin::Pin<::std::boxed::Box<dyn #rt::ReplyStream<#reply>>> {
                ::std::boxed::Box::pin(replies)
            })
        }
    });
    quote! {
        #[doc(hidden)]
        fn #shared(
            self: ::std::sync::Arc<Self>,
            ctx: #rt::Context,
            #argument: #argument_type
        ) -> #output {
            async move { Self::#name(&self, ctx, #argument).await #boxed }
        }
    }
}

fn argument(method: &ScopedMethod<'_>, scope: &Scope<'_>) -> (TokenStream, TokenStream) {
    let (rt, request) = (scope.rt, &method.request);
    match method.method.kind {
        Kind::Unary | Kind::ServerStreaming => (quote!(request), quote!(#request)),
        Kind::ClientStreaming | Kind::Bidirectional => {
            (quote!(requests), quote!(#rt::Streaming<#request>))
        }
    }
}

fn output(method: &ScopedMethod<'_>, scope: &Scope<'_>) -> TokenStream {
    let (rt, reply) = (scope.rt, &method.reply);
    let output = match has_reply_stream(method) {
        true => quote!(impl #rt::ReplyStream<#reply>),
        false => quote!(#reply),
    };
    quote! {
        impl ::core::future::Future<
            Output = ::core::result::Result<#output, #rt::Status>
        > + ::core::marker::Send
    }
}

fn has_reply_stream(method: &ScopedMethod<'_>) -> bool {
    match method.method.kind {
        Kind::ServerStreaming | Kind::Bidirectional => true,
        Kind::Unary | Kind::ClientStreaming => false,
    }
}

/// rustc reads braces in these texts as parameters.
fn braces_escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
