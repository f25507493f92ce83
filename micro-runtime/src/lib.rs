//! Typed RPC and events over NATS: the `.proto` file is the contract, NATS is transport, broker and
//! registry.

mod bus;
mod call;
mod client;
mod context;
mod descriptor;
mod endpoint;
mod error;
mod exchange;
mod metadata;
pub mod middleware;
mod mux;
mod observe;
mod options;
mod pace;
mod retry;
mod serve;
mod server;
mod status;
mod streaming;
mod streaming_call;
mod subject;
mod sync;
mod wire;

#[doc(hidden)]
pub mod codegen;

pub use async_nats;
pub use async_nats::ConnectOptions;
pub use micro_macros::{include_proto, rpc, service};

pub use bus::Bus;
pub use call::{Answer, AnswerFuture, UnaryCall, UnaryFuture};
pub use client::ClientOptions;
pub use context::Context;
pub use descriptor::{Idempotency, MethodDescriptor, MethodKind, ServiceDescriptor};
pub use endpoint::Service;
pub use error::{Error, ErrorKind};
pub use metadata::Metadata;
pub use options::ServiceOptions;
pub use server::{RunningServer, Server};
pub use status::details;
pub use status::{Code, Reason, Status};
pub use streaming::{ReplyStream, Streaming};
pub use streaming_call::{BidirectionalCall, ClientStreamingCall, ServerStreamingCall};
