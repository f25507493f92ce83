//! From a message on a subject to a call of a handler, and its reply.
//!
//! ```text
//! request_loop ─▶ route ─┬▶ admission ─┬▶ served_call ───┬▶ execute::Execution ─▶ reply
//!                        │             ├▶ served_stream ─┤
//!                        │             └▶ by_hand_call ──┘
//!                        ├▶ instance_route, broadcast_route ─▶ admission
//!                        └▶ introspection ─▶ reply
//! event_loop ─▶ event::EventDispatcher
//! ```
//!
//! Requests of a method wait in the `request_backlog` of its loop, with the times of their
//! [`Arrival`](arrival::Arrival).
//!
//! Two invariants hold in all of it. Every request that has an allowed reply subject gets one reply,
//! whatever becomes of it (docs/PROTOCOL.md, CALL-3). And the loop that reads a
//! subscription never waits for a handler or a permit: it waits for the connection to take a reply at
//! most.

mod admission;
mod arrival;
mod broadcast_route;
mod burst_refusal;
mod by_hand_call;
mod call_limit;
mod call_observer;
mod callers;
mod cancellations;
mod converter;
mod drop_counts;
mod endpoint;
mod event_loop;
mod format;
mod health;
mod health_check;
mod health_messages;
#[cfg(test)]
mod health_tests;
mod instance_address;
mod instance_records;
mod instance_route;
mod introspection;
mod large_reply;
mod latency_histogram;
mod layered;
mod method_handler;
mod method_logs;
mod method_options;
mod method_stats;
mod permit;
mod phase;
mod queue_group;
mod registered_stream;
mod reply;
mod reply_source;
mod request_backlog;
mod request_headers;
mod request_loop;
mod requests;
mod route;
mod rpc_options;
mod served_call;
mod served_method;
mod served_stream;
mod server_state;
mod service;
mod service_options;
mod shed_requests;
mod stop_notifier;
mod timeouts;
mod unsent_replies;

pub(crate) use broadcast_route::BroadcastRoute;
pub(crate) use burst_refusal::BurstRefusals;
pub(crate) use callers::Callers;
pub(crate) use drop_counts::DropCounts;
pub use endpoint::Endpoint;
pub(crate) use health::Health;
pub(crate) use health_check::HealthChecks;
pub(crate) use instance_address::InstanceAddress;
pub(crate) use instance_records::InstanceDescription;
pub(crate) use instance_route::InstanceRoute;
pub(crate) use introspection::{Introspection, IntrospectionQuery};
pub(crate) use layered::layered;
pub(crate) use method_logs::MethodLogs;
pub(crate) use method_options::{MethodOptions, OptionSources};
pub(crate) use method_stats::MethodStats;
pub(crate) use phase::Phase;
#[cfg(any(test, fuzzing))]
pub(crate) use request_headers::RequestHeaders;
pub(crate) use request_loop::spawn_loop;
pub(crate) use route::Route;
pub use rpc_options::RpcOptions;
pub(crate) use served_method::ServedMethod;
pub(crate) use server_state::ServerState;
pub use service::Service;
pub use service_options::ServiceOptions;
pub(crate) use timeouts::Timeouts;
