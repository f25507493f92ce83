//! Emits the descriptors that discovery, tracing, metrics and dispatch read.

use proc_macro2::TokenStream;
use quote::quote;

use super::lints::allow;
use super::scope::{MethodScope, ServiceScope};
use crate::model::{Idempotency, Kind};
use crate::naming;

pub(super) fn emit(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
        rt,
        descriptor,
        descriptors,
        ..
    } = scope;
    let allow = allow();
    let methods = scope
        .methods
        .iter()
        .map(|method| method_descriptor(method, scope));
    let count = proc_macro2::Literal::usize_unsuffixed(scope.methods.len());
    let service = service_descriptor(scope);
    let version = env!("CARGO_PKG_VERSION");
    quote! {
        #allow
        static #descriptors: [#rt::descriptor::MethodDescriptor; #count] = [#(#methods),*];

        #allow
        static #descriptor: #rt::descriptor::ServiceDescriptor = #service;

        const _: () = #rt::codegen::written_by(#version);
    }
}

fn service_descriptor(scope: &ServiceScope<'_>) -> TokenStream {
    let ServiceScope {
        rt,
        descriptors,
        service,
        ..
    } = scope;
    let (full_name, package, name) = (&service.full_name, &service.package, &service.name);
    let version = match &service.options.version {
        Some(version) => quote!(#version),
        None => quote!(::core::env!("CARGO_PKG_VERSION")),
    };
    let queue_group = service.options.queue_group.iter();
    let description = service
        .options
        .description
        .clone()
        .or_else(|| summary(&service.comment));
    let description = description.iter();
    let embedded = format!("{}.fds.bin", naming::file_stem(package));
    quote! {
        #rt::descriptor::ServiceDescriptor::new(#full_name, #package, #name, &#descriptors)
            .version(#version)
            #(.queue_group(#queue_group))*
            #(.description(#description))*
            .file_descriptor_set(::core::include_bytes!(#embedded))
    }
}

fn method_descriptor(method: &MethodScope<'_>, scope: &ServiceScope<'_>) -> TokenStream {
    let (rt, method) = (scope.rt, method.method);
    let (full_name, name) = (&method.full_name, &method.name);
    let (request, reply) = (&method.request, &method.reply);
    let kind = match method.kind {
        Kind::Unary => quote!(Unary),
        Kind::ServerStreaming => quote!(ServerStreaming),
        Kind::ClientStreaming => quote!(ClientStreaming),
        Kind::Bidirectional => quote!(Bidirectional),
    };
    let idempotency = match method.idempotency {
        Idempotency::Unknown => None,
        Idempotency::NoSideEffects => Some(quote!(NoSideEffects)),
        Idempotency::Idempotent => Some(quote!(Idempotent)),
    };
    let idempotency =
        idempotency.map(|level| quote!(.idempotency(#rt::descriptor::Idempotency::#level)));
    let timeout_ms = method
        .options
        .timeout_ms
        .map(proc_macro2::Literal::u64_unsuffixed);
    let timeout = timeout_ms.map(|milliseconds| quote!(.timeout_ms(#milliseconds)));
    let max_concurrent = method
        .options
        .max_concurrent
        .map(proc_macro2::Literal::u32_unsuffixed);
    let max_concurrent = max_concurrent.map(|calls| quote!(.max_concurrent(#calls)));
    let deprecated = method.deprecated.then(|| quote!(.deprecated()));
    let expires = method.options.expires.then(|| quote!(.expires()));
    quote! {
        #rt::descriptor::MethodDescriptor::new(#full_name, #name, #rt::descriptor::MethodKind::#kind, #request, #reply)
            #timeout #max_concurrent #idempotency #deprecated #expires
    }
}

/// Returns the first paragraph of a comment as one line.
fn summary(comment: &[String]) -> Option<String> {
    let lines = comment.iter().map(|line| line.trim());
    let paragraph: Vec<&str> = lines
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .collect();
    (!paragraph.is_empty()).then(|| paragraph.join(" "))
}
