//! The companion macro, of the trait's own name, from which `#[service]` learns the contract.

use std::fmt::Write as _;

use quote::ToTokens;

use super::{ALLOW, Scope, ScopedMethod};
use crate::naming;

pub(super) fn emit(scope: &Scope<'_>) -> String {
    let Scope {
        trait_, service, ..
    } = scope;
    let table = naming::table(&service.package, &service.rust_name);
    let runtime = callable(scope.rt);
    let (full_name, at) = (&service.full_name, service.at.to_string());
    let mut rows = String::new();
    for method in &scope.methods {
        push_row(method, &mut rows);
    }
    format!(
        "\
#[doc(hidden)]
{ALLOW}
#[macro_export]
macro_rules! {table} {{
    ($($input:tt)*) => {{
        {runtime}::codegen::service_impl! {{
            runtime({runtime})
            service({trait_} {full_name:?} {at:?})
            messages
{rows}            $($input)*
        }}
    }};
}}
#[doc(hidden)]
{ALLOW}
pub use {table} as {trait_};
"
    )
}

fn push_row(method: &ScopedMethod<'_>, rows: &mut String) {
    let ScopedMethod { name, types, .. } = method;
    let (kind, proto, at) = (
        method.kind(),
        &method.method.name,
        method.method.at.to_string(),
    );
    let (request, reply) = (&types.request, &types.reply);
    // Writing to a string cannot fail.
    let _ = writeln!(
        rows,
        "            rpc({name} {proto:?} {kind} {at:?} [{request}] [{reply}])"
    );
}

/// The macro expands where the user calls it, where `crate` may be another one.
fn callable(runtime: &syn::Path) -> String {
    let path = runtime.to_token_stream().to_string().replace(' ', "");
    match path.strip_prefix("crate") {
        Some(rest) if rest.is_empty() || rest.starts_with("::") => format!("$crate{rest}"),
        _ => path,
    }
}
