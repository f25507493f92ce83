//! The hidden supertrait that names each method's messages: through it `#[service]` can write a stub
//! for a missing method without knowing where the user has the messages from.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Scope, ScopedMethod, allow};

pub(super) fn emit(scope: &Scope<'_>) -> TokenStream {
    let Scope { messages, .. } = scope;
    let allow = allow();
    let names = scope.methods.iter().map(|method| {
        let ScopedMethod {
            request_name,
            reply_name,
            ..
        } = method;
        quote!(type #request_name; type #reply_name;)
    });
    let types = scope.methods.iter().map(|method| {
        let ScopedMethod {
            request_name,
            reply_name,
            request,
            reply,
            ..
        } = method;
        quote!(type #request_name = #request; type #reply_name = #reply;)
    });
    quote! {
        #[doc(hidden)]
        #allow
        pub trait #messages {
            #(#names)*
        }

        #allow
        impl<__Handler: ?::core::marker::Sized> #messages for __Handler {
            #(#types)*
        }
    }
}
