//! Emits the hidden supertrait with the message types of each method as associated types.
//!
//! Through it `#[service]` can write a stub for a missing method without knowing the module from which
//! the user imports the messages.

use proc_macro2::TokenStream;
use quote::quote;

use super::lints::allow;
use super::scope::{MethodScope, ServiceScope};

pub(super) fn emit(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope { messages, .. } = scope;
    let allow = allow();
    let names = scope.methods.iter().map(|method| {
        let MethodScope {
            request_name,
            reply_name,
            ..
        } = method;
        quote!(type #request_name; type #reply_name;)
    });
    let types = scope.methods.iter().map(|method| {
        let MethodScope {
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
