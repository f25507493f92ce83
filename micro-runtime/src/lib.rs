//! Typed RPC and events over NATS.
//!
//! The `.proto` file is the contract. micro-build generates a trait, a client and a server for each of its
//! services; NATS is transport, load balancer and registry, so that nothing else has to run. Payloads are
//! bare protobuf, so that any NATS client in any language can call a service.
//!
//! # Examples
//!
//! ```
//! use micro_runtime::{Bus, Context, Server, Status, service};
//!
//! # /*
//! mod greeter { micro_runtime::include_proto!("greeter.v1"); }   // written by micro-build
//! # */
//! # mod greeter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/greeter_service.inc")); }
//! use greeter::{Greeter, GreeterClient, GreeterServer, HelloReply, HelloRequest};
//!
//! struct English;
//!
//! #[service]
//! impl Greeter for English {
//!     async fn say_hello(&self, _: Context, request: HelloRequest) -> Result<HelloReply, Status> {
//!         Ok(HelloReply { message: format!("Hello, {}!", request.name) })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Bus::in_process();                        // or Bus::connect("nats://127.0.0.1:4222").await?
//! let server = Server::new(&bus).add(GreeterServer::new(English)).start().await?;
//!
//! let greeter: GreeterClient = bus.client();
//! let reply = greeter.say_hello(HelloRequest { name: "Ada".into() }).await?;
//! assert_eq!(reply.message, "Hello, Ada!");
//!
//! server.shutdown().await?;                           // nothing that was accepted is lost
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! | task | items |
//! |---|---|
//! | connect | [`Bus`], over NATS or inside one process |
//! | serve | [`Server`], [`ServiceOptions`], [`service`] on the handler |
//! | read metadata and deadline in a handler | [`Context`], [`Metadata`] |
//! | call | [`Bus::client`], [`ClientOptions`], [`call::UnaryCall`] |
//! | call all instances at once | [`call::UnaryCall::to_all`], [`call::Replies`] |
//! | stream | [`Streaming`], [`Sender`], [`call::ClientStream`], [`ReplyStream`], [`StreamOptions`] |
//! | publish and subscribe to events | [`Event`], [`Bus::publish`], [`Bus::subscribe`], [`Server::subscribe`] with a [`Subscriber`] and a [`Subscription`] |
//! | store events and handle each at least once (feature `jetstream`) | `EventStream`, `Bus::publish_durable`, `Durable`, `BatchSubscriber`, `Bus::replay` |
//! | fail, and find the cause of a failure | [`Status`], [`Code`], [`Reason`], [`details`] |
//! | wrap calls | [`middleware`] |
//! | call services that are not known at compile time, in JSON (feature `json`) | `Bus::dynamic`, `DynamicClient` |
//! | find instances, their health and their statistics | [`Bus::discovery`], [`discovery`] |
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | adds |
//! |---|---|
//! | `async-nats` | `Bus::nats`, the client of async-nats below a bus, and `Bus::from_nats`: no other item names its types |
//! | `jetstream` | durable events: streams, acknowledged publishing, consumers, replay |
//! | `json` | requests with `Content-Type: application/json` on every service, and `DynamicClient` |
//! | `metrics` | counts of calls, errors, time, calls in flight, retries, events, through the `metrics` crate |
//! | `opentelemetry` | `traceparent` for sampled spans, and the caller's span as parent |

mod bus;
pub mod call;
mod client;
mod context;
mod decode;
pub mod descriptor;
pub mod discovery;
mod dispatch;
#[cfg(feature = "json")]
pub mod dynamic;
mod error;
pub mod event;
mod execute;
#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(test)]
mod growth;
#[cfg(feature = "jetstream")]
pub mod jetstream;
#[cfg_attr(not(feature = "json"), path = "json_off.rs")]
mod json;
mod log_limit;
mod memory_budget;
mod metadata;
pub mod middleware;
mod observe;
mod printable;
mod server;
mod shutdown_signal;
mod status;
mod stream;
mod subject;
mod sync;
mod wire;

#[cfg(feature = "__bench")]
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod codegen;

#[cfg(feature = "async-nats")]
pub use async_nats;
pub use micro_macros::{include_proto, rpc, service};
#[cfg(feature = "json")]
pub use prost_reflect;

// A trait and a macro may have one name: `use micro_runtime::Subscriber` imports the trait of `event` and its companion
// macro, which `#[service]` calls by the trait's path. Generated traits have theirs the same way.
#[doc(hidden)]
pub use __micro_Subscriber as Subscriber;
#[cfg(feature = "__testkit")]
#[doc(hidden)]
pub use bus::fault_injection as faults;
pub use bus::{Bus, ConnectOptions, ConnectionState, ConnectionStates};
pub use client::ClientOptions;
pub use context::Context;
pub use dispatch::{Service, ServiceOptions};
pub use error::{Error, ErrorKind};
pub use event::{Event, Subscriber, Subscription};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use fuzz::{fuzz_headers, fuzz_metadata, fuzz_subjects};
pub use metadata::Metadata;
pub use server::{RunningServer, Server};
pub use shutdown_signal::shutdown_signal;
pub use status::details;
pub use status::{Code, Reason, Status};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use stream::fuzz_stream;
pub use stream::{ReplyStream, Sender, StreamOptions, Streaming};
