//! Calls of services that were unknown at compile time, in JSON or bytes.

mod call;
mod client;
mod intern;
mod lookup;
mod message;
mod stream;

pub use call::{DynamicCall, RawCall};
pub use client::DynamicClient;
pub use message::{Dynamic, DynamicRequest};
pub use stream::{DynamicSender, DynamicStreaming};
