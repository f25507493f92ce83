//! `Service`: a handler in the server that was generated for its service.

use crate::descriptor::ServiceDescriptor;
use crate::dispatch::endpoint::Endpoint;

/// A handler with the server around it that micro-build generates, as `GreeterServer::new(…)`.
///
/// micro-build writes the implementations; there is nothing to implement by hand.
/// [`Server::add`](crate::Server::add) takes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "expected a generated server, such as `GreeterServer`",
    note = "wrap the handler in the server that was generated for its service: `GreeterServer::new(handler)`"
)]
pub trait Service: Send + Sync + 'static {
    /// The service that is served.
    #[doc(hidden)]
    const SERVICE: &'static ServiceDescriptor;

    /// Returns one endpoint per method, in the order of the descriptor.
    #[doc(hidden)]
    fn endpoints(self) -> Vec<Endpoint>;
}
