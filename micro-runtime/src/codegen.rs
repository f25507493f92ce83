//! The only door for generated code: everything that micro-build and micro-macros may name.

pub use micro_macros::service_impl;
pub use prost;
pub use prost_types;

pub use crate::call::unary;
pub use crate::client::{Client, ServiceClient};
pub use crate::endpoint::{Endpoint, Service};
pub use crate::options::RpcOptions;
pub use crate::streaming_call::{bidirectional, client_streaming, server_streaming};
