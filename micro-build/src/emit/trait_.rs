//! Emits the trait that a handler implements.

use proc_macro2::TokenStream;
use quote::quote;

use super::lints::allow;
use super::scope::{MethodScope, ServiceScope};
use crate::model::Kind;

pub(super) fn emit(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
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

fn signature(method: &MethodScope<'_>, scope: &ServiceScope<'_>) -> TokenStream {
    let rt = scope.rt;
    let (name, docs) = (&method.name, method.docs(scope));
    let (argument, argument_type) = argument(method, scope);
    let output = output(method, scope);
    quote! {
        #docs
        fn #name(&self, ctx: #rt::Context, #argument: #argument_type) -> #output;
    }
}

/// Emits the hidden method that the server calls with the handler in an `Arc`.
///
/// By default it calls the trait's method with `&self`. For a handler that takes `self: Arc<Self>`,
/// `#[service]` overrides it.
fn shared(method: &MethodScope<'_>, scope: &ServiceScope<'_>) -> TokenStream {
    let rt = scope.rt;
    let MethodScope {
        name,
        shared,
        reply,
        ..
    } = method;
    let (argument, argument_type) = argument(method, scope);
    let output = output(method, scope);
    // The opaque type of the reply stream captures the lifetime of `&self`, although the stream is
    // `'static`. A boxed trait object, created while the borrow is alive, does not.
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

fn argument(method: &MethodScope<'_>, scope: &ServiceScope<'_>) -> (TokenStream, TokenStream) {
    let (rt, request) = (scope.rt, &method.request);
    match method.method.kind {
        Kind::Unary | Kind::ServerStreaming => (quote!(request), quote!(#request)),
        Kind::ClientStreaming | Kind::Bidirectional => {
            (quote!(requests), quote!(#rt::Streaming<#request>))
        }
    }
}

fn output(method: &MethodScope<'_>, scope: &ServiceScope<'_>) -> TokenStream {
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

fn has_reply_stream(method: &MethodScope<'_>) -> bool {
    match method.method.kind {
        Kind::ServerStreaming | Kind::Bidirectional => true,
        Kind::Unary | Kind::ClientStreaming => false,
    }
}

/// Escapes braces, since `#[diagnostic::on_unimplemented]` treats them as parameters.
fn braces_escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
