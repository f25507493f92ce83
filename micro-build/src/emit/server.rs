//! Emits the server, which turns a handler into one endpoint per method.

use proc_macro2::TokenStream;
use quote::quote;

use super::lints::allow;
use super::scope::{MethodScope, ServiceScope};

pub(super) fn emit(scope: &ServiceScope<'_>) -> TokenStream {
    let [item, constructors, derived, service] = [
        item(scope),
        constructors(scope),
        derived(scope),
        service(scope),
    ];
    quote!(#item #constructors #derived #service)
}

fn item(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
        trait_,
        server,
        handler,
        ..
    } = scope;
    let (allow, docs, deprecated) = (allow(), scope.service_docs(), scope.deprecated());
    let attributes = scope
        .settings
        .server_attributes
        .of(&scope.service.full_name);
    let summary = format!(" Server for a handler that implements [`{trait_}`].");
    quote! {
        #[doc = #summary]
        #[doc = ""]
        #docs
        #deprecated
        #allow
        #(#attributes)*
        pub struct #server<#handler> {
            handler: ::std::sync::Arc<#handler>,
        }
    }
}

fn constructors(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
        trait_,
        server,
        handler,
        ..
    } = scope;
    let allow = allow();
    quote! {
        #allow
        impl<#handler: #trait_> #server<#handler> {
            /// Creates a server for `handler`.
            #[must_use]
            pub fn new(handler: #handler) -> Self {
                Self::from_arc(::std::sync::Arc::new(handler))
            }

            /// Creates a server for `handler`, which can have other owners.
            #[must_use]
            pub fn from_arc(handler: ::std::sync::Arc<#handler>) -> Self {
                Self { handler }
            }
        }
    }
}

/// Emits `Clone` and `Debug`, which a derive would implement only for handlers with the same traits.
fn derived(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
        server, handler, ..
    } = scope;
    let (allow, name) = (allow(), server.to_string());
    quote! {
        #allow
        impl<#handler> ::core::clone::Clone for #server<#handler> {
            fn clone(&self) -> Self {
                Self { handler: ::std::sync::Arc::clone(&self.handler) }
            }
        }

        #allow
        impl<#handler> ::core::fmt::Debug for #server<#handler> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#name).finish_non_exhaustive()
            }
        }
    }
}

fn service(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
        rt,
        trait_,
        server,
        handler,
        descriptor,
        ..
    } = scope;
    let allow = allow();
    let endpoints = scope.methods.iter().map(|method| endpoint(method, scope));
    quote! {
        #allow
        impl<#handler: #trait_> #rt::codegen::Service for #server<#handler> {
            const SERVICE: &'static #rt::descriptor::ServiceDescriptor = &#descriptor;

            fn endpoints(self) -> ::std::vec::Vec<#rt::codegen::Endpoint> {
                ::std::vec::Vec::from([#(#endpoints),*])
            }
        }
    }
}

fn endpoint(method: &MethodScope<'_>, scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
        rt,
        trait_,
        handler,
        descriptors,
        ..
    } = scope;
    let MethodScope { shared, index, .. } = method;
    let kind = method.kind();
    quote! {
        {
            let handler = ::std::sync::Arc::clone(&self.handler);
            #rt::codegen::Endpoint::#kind(
                &#descriptors[#index],
                #handler::__MICRO_RPC,
                move |ctx, argument| {
                    <#handler as #trait_>::#shared(::std::sync::Arc::clone(&handler), ctx, argument)
                },
            )
        }
    }
}
