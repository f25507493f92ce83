//! Clients without and with middleware, which take different paths through a call, and servers that record their calls.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use micro_runtime::middleware::{Next, Request};
use micro_runtime::{Bus, ClientOptions, Server};
use micro_tests::behavior::BehaviorClient;
use tower::ServiceExt as _;

/// Encoded requests that handlers of unary methods ran on.
pub(crate) type Handled = Arc<Mutex<Vec<Bytes>>>;

/// Returns these options without and with a layer that changes nothing.
pub(crate) fn with_and_without_layer(options: &ClientOptions) -> [ClientOptions; 2] {
    let pass = tower::layer::layer_fn(|next: Next| next);
    [options.clone(), options.clone().layer(pass)]
}

/// Returns clients with these options, without and with a layer that changes nothing.
pub(crate) fn clients(bus: &Bus, options: &ClientOptions) -> [BehaviorClient; 2] {
    with_and_without_layer(options).map(|options| bus.client_with(options))
}

/// Returns the server with a layer that records the requests of its handlers.
pub(crate) fn with_recording(server: Server) -> (Server, Handled) {
    let handled = Handled::default();
    let recording = tower::layer::layer_fn({
        let handled = Arc::clone(&handled);
        move |next: Next| {
            let handled = Arc::clone(&handled);
            tower::service_fn(move |request: Request| {
                handled.lock().unwrap().push(request.payload().clone());
                next.clone().oneshot(request)
            })
        }
    });
    (server.layer(recording), handled)
}
