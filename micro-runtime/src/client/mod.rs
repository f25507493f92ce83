//! Calls: clients, their options, unary and streaming calls, retries.

mod call_all;
mod client;
mod open_stream;
mod request;
mod retry;
mod streaming_call;
mod unary_call;
mod unary_exchange;

pub use call_all::{CallAll, InstanceReply, Replies};
pub use client::{Client, ClientOptions, ServiceClient};
#[cfg(feature = "json")]
pub(crate) use open_stream::WaitsFor;
#[cfg(feature = "json")]
pub(crate) use streaming_call::Call;
pub use streaming_call::{
    BidirectionalCall, ClientStreamingCall, ServerStreamingCall, bidirectional, client_streaming,
    server_streaming,
};
#[cfg(feature = "json")]
pub(crate) use unary_call::CallFuture;
pub use unary_call::{Reply, ReplyFuture, UnaryCall, UnaryFuture, unary};
