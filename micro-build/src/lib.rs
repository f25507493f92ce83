//! Compiles `.proto` files to typed services on NATS: traits for handlers, clients, servers,
//! messages. No protoc is needed.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), micro_build::Error> {
//!     micro_build::compile(&["proto/greeter.proto"], &["proto"])
//! }
//! ```

mod check;
mod comments;
mod compiler;
mod config;
mod descriptor_set;
mod descriptors;
mod editions;
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
mod similar;

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
