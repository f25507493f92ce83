//! Emits the companion table: a macro of the trait's name that describes the service to `#[service]`.

use std::fmt::Write as _;

use quote::ToTokens;

use super::lints::ALLOW;
use super::scope::{MethodScope, ServiceScope};
use crate::naming;

pub(super) fn emit(scope: &ServiceScope<'_>) -> String {
    let ServiceScope {
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

fn push_row(method: &MethodScope<'_>, rows: &mut String) {
    let MethodScope { name, types, .. } = method;
    let (kind, proto, at) = (
        method.kind(),
        &method.method.name,
        method.method.at.to_string(),
    );
    let (request, reply) = (&types.request, &types.reply);
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        rows,
        "            rpc({name} {proto:?} {kind} {at:?} [{request}] [{reply}])"
    );
}

/// Returns the runtime's path with `$crate` instead of `crate`.
///
/// The companion table may be expanded in another crate, where `crate` would refer to that crate.
fn callable(runtime: &syn::Path) -> String {
    let path = runtime.to_token_stream().to_string().replace(' ', "");
    match path.strip_prefix("crate") {
        Some(rest) if rest.is_empty() || rest.starts_with("::") => format!("$crate{rest}"),
        _ => path,
    }
}
