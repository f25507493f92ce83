//! Middleware: `tower` layers around calls, at the server and at the client.
//!
//! A layer sees the same service on both sides: a [`Request`] with the method, the metadata, the deadline and
//! the encoded message goes in, a [`Response`] or a [`Status`](crate::Status) comes out. The service that it
//! wraps is [`Next`]. Layers are added with [`Server::layer`](crate::Server::layer),
//! [`ServiceOptions::layer`](crate::ServiceOptions::layer),
//! [`ClientOptions::layer`](crate::ClientOptions::layer) and their variants for one method. The layer that is
//! added first is the outermost; those of a server are outside of those of its services, and these outside of
//! those of a method.
//!
//! Any error of a layer becomes a `Status`: a `Status` is kept, `tower`'s timeout is `DEADLINE_EXCEEDED`, its load
//! shedding `RESOURCE_EXHAUSTED`, and everything else `UNKNOWN`.
//!
//! A streaming call passes the layers while it opens: they see the request message, if the caller sends exactly one,
//! and a response without a message once the stream is open. The messages of the stream do not pass them.
//!
//! The server does not see the timeout of a layer at the client, so that its handler runs on. A timeout of calls is set
//! by [`ClientOptions::timeout`](crate::ClientOptions::timeout) or on the call, which send it to the server.
//!
//! # Examples
//!
//! A layer of `tower` at the server, and one of the user's own at the client:
//!
//! ```
//! use std::time::Duration;
//!
//! use micro_runtime::middleware::{Next, Request};
//! use micro_runtime::{ClientOptions, ServiceOptions};
//! use tower::ServiceExt as _;
//! use tower::timeout::TimeoutLayer;
//!
//! let options = ServiceOptions::new().layer(TimeoutLayer::new(Duration::from_secs(1)));
//!
//! let tenant = tower::layer::layer_fn(|next: Next| {
//!     tower::service_fn(move |mut request: Request| {
//!         let next = next.clone();
//!         async move {
//!             request.metadata_mut().append("tenant", "acme")?;
//!             next.oneshot(request).await
//!         }
//!     })
//! });
//! let options = ClientOptions::new().layer(tenant);
//! ```

mod layers;
mod request;
mod response;

pub use layers::Layered;
pub(crate) use layers::Layers;
pub(crate) use request::{LayeredCall, Terminal};
pub use request::{Next, Request};
pub use response::{Response, ResponseFuture};
