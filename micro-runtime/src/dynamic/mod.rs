//! Calls of services that were unknown at compile time, in JSON or bytes (feature `json`).
//!
//! A [`DynamicClient`] reads the schema of a running service and then makes the same calls as generated code:
//! through `client`, with bytes for messages and with middleware, retries and streams as they are.

mod call;
mod client;
mod describe;
mod endpoint_client;
mod intern;
mod message;
mod schema_lookup;
mod stream;

pub use call::{DynamicCall, RawCall};
pub use client::DynamicClient;
pub use message::{Dynamic, DynamicRequest};
pub use stream::{DynamicSender, DynamicStreaming};
