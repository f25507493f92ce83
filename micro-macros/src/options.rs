//! Emits the options of `#[rpc(…)]` as the trait's hidden constant, which the runtime reads.

use proc_macro2::TokenStream;
use quote::quote;

use crate::args::Setting;
use crate::model::{Handler, ServiceImpl};
use crate::table::Table;

/// Returns the constant, if any method has options.
pub(crate) fn options(service: &ServiceImpl, table: &Table) -> Option<TokenStream> {
    let runtime = &table.runtime;
    let mut entries = service
        .handlers()
        .filter(|handler| !handler.rpc.options.is_empty())
        .peekable();
    entries.peek()?;
    let entries = entries.filter_map(|handler| entry(handler, table));
    Some(quote! {
        const __MICRO_RPC: &'static [#runtime::codegen::RpcOptions] = &[#(#entries),*];
    })
}

/// Returns the options of one method, with the `#[cfg(…)]` of the handler.
///
/// The runtime identifies a method by its name in the `.proto`.
fn entry(handler: &Handler, table: &Table) -> Option<TokenStream> {
    let runtime = &table.runtime;
    let name = &table.rpc(handler.name())?.name;
    let conditions = handler.conditions();
    let settings = handler
        .rpc
        .options
        .iter()
        .map(|option| match &option.setting {
            Setting::TimeoutMs(milliseconds) => quote! { .timeout_ms(#milliseconds) },
            Setting::MaxConcurrent(calls) => quote! { .max_concurrent(#calls) },
            Setting::Queue(group) => quote! { .queue(#group) },
            Setting::Blocking => quote! { .blocking() },
            Setting::Detached => quote! { .detached() },
        });
    Some(quote! { #(#conditions)* #runtime::codegen::RpcOptions::new(#name) #(#settings)* })
}
