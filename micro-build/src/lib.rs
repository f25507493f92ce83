//! Compiles `.proto` files to typed services on NATS: a trait for handlers, a client, a server, and
//! the messages. No protoc is needed.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), micro_build::Error> {
//!     micro_build::compile(&["proto/greeter.proto"], &["proto"])
//! }
//! ```
//!
//! For `service Greeter` of package `greeter.v1`, `micro_runtime::include_proto!("greeter.v1")` then
//! brings, flat in the module around it:
//!
//! | item | what it is |
//! |---|---|
//! | `HelloRequest`, … | the messages and enums, as prost writes them |
//! | `trait Greeter` | what a handler implements, under `#[micro_runtime::service]` |
//! | `GreeterServer<T>` | a handler, ready for `Server::add` |
//! | `GreeterClient` | one method per method, made by `bus.client()` |
//! | `impl Event`, `TradeFilter` | for a message with the option `(micro.v1.event)`: its subject, and which of them to subscribe to |
//!
//! [`Config`] has the options. A `.proto` can say more with `import "micro/v1/options.proto";`, which
//! is always found: versions, queue groups, timeouts, limits, and the subjects of events. The
//! services embed their descriptors, from which `micro` answers `_schema`.
//!
//! What becomes no Rust, or no subject, is refused here and not by the compiler of the generated
//! code: every problem at once, each with its file and line, as an [`Error`].

mod check;
mod comments;
mod compiler;
mod config;
mod descriptor_set;
mod descriptors;
mod elements;
mod emit;
mod error;
mod explain;
mod generator;
mod lower;
mod messages;
mod model;
mod naming;
mod options;
mod output;
mod patterns;
mod polish;
mod proto_dir;
mod protoc;
mod settings;
mod suggestions;

use std::path::Path;

pub use crate::config::Config;
pub use crate::error::{Error, ErrorKind, Problem};
pub use crate::proto_dir::proto_dir;
/// The prost-build that [`Config::prost`] configures.
pub use prost_build;

/// Compiles `protos`, found below `includes`, with the default [`Config`].
///
/// # Errors
///
/// Fails if the files are not valid protobuf, cannot become services, or nothing can be written.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), micro_build::Error> {
/// micro_build::compile(&["proto/greeter.proto"], &["proto"])
/// # }
/// ```
pub fn compile(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    Config::new().compile(protos, includes)
}
