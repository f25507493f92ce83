//! Calls as their callers see them: clients, call options, unary and streaming calls, calls to all
//! instances, retries.
//!
//! Three builders ([`UnaryCall`], the streaming calls, [`CallAll`]) hold an `OutgoingRequest`, whose
//! `CallOptions` are set by the same methods everywhere. A unary call becomes a `CallFuture`, a stream a
//! `Reader`; both are made by attempts (`UnaryExchange`, `OpenStream`) that one `RetryLoop` repeats.

mod call_all;
mod call_bounds;
mod call_errors;
mod call_future;
mod call_options;
mod client;
mod drive_stream;
mod encoded_call;
mod instance_watch;
mod large_message;
mod open_stream;
mod option_flaws;
mod options;
mod replies;
mod request;
mod retry_loop;
mod retry_policy;
mod streaming_call;
mod unary_call;
mod unary_exchange;

pub use call_all::CallAll;
#[cfg(feature = "json")]
pub(crate) use call_future::CallFuture;
#[cfg(any(feature = "jetstream", feature = "json"))]
pub(crate) use call_options::CallOptions;
pub(crate) use call_options::{MessageOptions, call_option_methods};
pub use client::{Client, ServiceClient};
#[cfg(feature = "json")]
pub(crate) use encoded_call::EncodedCall;
#[cfg(feature = "json")]
pub(crate) use open_stream::WaitsFor;
#[cfg(feature = "json")]
pub(crate) use option_flaws::target_flaw;
pub use options::ClientOptions;
pub use replies::{InstanceReply, Replies};
pub use streaming_call::{
    BidirectionalCall, ClientStreamingCall, ServerStreamingCall, bidirectional, client_streaming,
    server_streaming,
};
pub use unary_call::{Reply, ReplyFuture, UnaryCall, UnaryFuture, unary};

#[cfg(test)]
mod plain_peer_tests;
