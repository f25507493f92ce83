//! Carries what stands in `#[rpc(…)]` to the runtime, in the trait's hidden constant.

use proc_macro2::TokenStream;
use quote::quote;

use crate::args::Setting;
use crate::model::{Handler, ServiceImpl};
use crate::table::Table;

/// The constant, if any method has options.
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

/// One method's options, under the same conditions as the method. The runtime knows a method by the
/// name that it has in the .proto.
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
