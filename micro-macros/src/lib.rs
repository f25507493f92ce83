//! The macros of `micro`. They are documented where the runtime exports them, so that the examples can
//! use the runtime.

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

/// Checks the impl of a service's trait against the .proto and answers mistakes in plain words.
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
/// The impl is emitted as it was written; a plain impl of the trait works too.
///
/// On a method, `#[rpc(…)]` takes
///
/// - `timeout = "250ms"`, `"5s"`, `"1m"`, `"1h"`: the longest that a call may take;
/// - `max_concurrent = 64`: how many calls one instance runs at a time;
/// - `queue = "workers"`: the queue group that shares the calls, `"-"` for none;
/// - `blocking`: runs the handler where it may block its thread (a single reply only);
/// - `detached`: lets the handler finish when the caller has gone (a single reply only).
///
/// It goes on `impl Subscriber<Trade> for Recorder` too, the handler of an event, which takes no
/// `#[rpc(…)]`.
///
/// `#[service(crate = path)]` says where `micro_runtime` is, if it has another name.
#[proc_macro_attribute]
pub fn service(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(args.into(), &item.into()).into()
}

/// Sets options of one method in a `#[service]` impl, which reads and removes it.
///
/// See `#[service]` for the options.
#[proc_macro_attribute]
pub fn rpc(_: TokenStream, item: TokenStream) -> TokenStream {
    expand::rpc(&item.into()).into()
}

/// Includes the code that `micro-build` wrote for a package: `include_proto!("greeter.v1");`.
///
/// A package that was not compiled is an error that lists those that were.
#[proc_macro]
pub fn include_proto(input: TokenStream) -> TokenStream {
    include::include_proto(input.into()).into()
}

/// Where a companion table sends the impl. Its input changes with the version of `micro-build`.
#[doc(hidden)]
#[proc_macro]
pub fn service_impl(input: TokenStream) -> TokenStream {
    expand::service_impl(input.into()).into()
}

/// Where the table of `Subscriber`, the runtime's own, sends the impl.
#[doc(hidden)]
#[proc_macro]
pub fn subscriber_impl(input: TokenStream) -> TokenStream {
    expand::subscriber_impl(input.into()).into()
}
