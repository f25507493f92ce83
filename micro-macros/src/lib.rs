//! The procedural macros of `micro`, re-exported by micro-runtime.
//!
//! The full documentation is at the re-exports, where examples can use the runtime.

mod arc_receiver;
mod args;
#[cfg(test)]
mod args_tests;
mod check;
mod errors;
mod expand;
#[cfg(test)]
mod expand_tests;
mod fallback;
mod include;
mod method_match;
mod model;
mod options;
mod repair;
#[cfg(test)]
mod rules_tests;
mod suggestions;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod type_match;

use proc_macro::TokenStream;

/// Checks the impl of a service's trait against the `.proto`, and reports mistakes with their fix.
///
/// ```ignore
/// #[service]
/// impl Greeter for English {
///     #[rpc(timeout = "2s", max_concurrent = 64)]
///     async fn say_hello(&self, ctx: Context, request: HelloRequest) -> Result<HelloReply, Status> {
///         Ok(HelloReply { message: format!("Hello, {}!", request.name) })
///     }
/// }
/// ```
///
/// The impl is emitted unchanged. An impl without the attribute works too, but has no `#[rpc(…)]`.
///
/// A method accepts these options in `#[rpc(…)]`:
///
/// - `timeout = "250ms"`, `"5s"`, `"1m"`, `"1h"`: the timeout of calls that have none;
/// - `max_concurrent = 64`: the maximum number of calls that one instance runs concurrently;
/// - `queue = "workers"`: the queue group of the method's subscription, or `"-"` for none;
/// - `blocking`: runs the handler on a thread that it may block (methods with a single reply only);
/// - `detached`: runs the handler to its end past its deadline, and after its caller has dropped the
///   call or has gone silent; only the end of the server's grace period drops it (methods with a single
///   reply only).
///
/// The attribute also applies to `impl Subscriber<Trade> for Recorder`, the handler of an event, whose
/// method accepts no `#[rpc(…)]`.
///
/// `#[service(crate = path)]` sets the path of `micro_runtime`, for crates that re-export it.
#[proc_macro_attribute]
pub fn service(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(args.into(), &item.into()).into()
}

/// Sets options of one method in a `#[service]` impl.
///
/// `#[service]` reads and removes the attribute; see there for the options. Anywhere else it is an
/// error.
#[proc_macro_attribute]
pub fn rpc(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::rpc(&item.into()).into()
}

/// Includes the code that `micro-build` generated for a package: `include_proto!("greeter.v1");`.
///
/// A package without generated code is an error, which lists the available packages.
#[proc_macro]
pub fn include_proto(input: TokenStream) -> TokenStream {
    include::include_proto(input.into()).into()
}

/// Expands an impl with the description of its service; called by the companion table.
///
/// The format of the input is specific to the version of `micro-build`.
#[doc(hidden)]
#[proc_macro]
pub fn service_impl(input: TokenStream) -> TokenStream {
    expand::service_impl(input.into()).into()
}

/// Expands an impl of `Subscriber`; called by the companion table of that trait, in the runtime.
#[doc(hidden)]
#[proc_macro]
pub fn subscriber_impl(input: TokenStream) -> TokenStream {
    expand::subscriber_impl(input.into()).into()
}
