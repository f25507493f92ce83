//! The bus: publishing, subscribing, and matching replies to calls, over NATS or inside one process.
//!
//! Only this folder distinguishes the two carriers. Everything above uses one [`Connection`] with the same
//! subjects, queue groups, size limit and errors on either, so that a test without a server exercises the code
//! that production runs.
//!
//! | file | responsibility |
//! |---|---|
//! | `bus` | the public handle: its connections and a subject prefix |
//! | `connections` | the connections of a bus by what they carry, one by default; `connection_role` names them |
//! | `connection` | one connection with its inbox, shared by all buses, clients and servers made from it |
//! | `link` | the physical connections, one after the other: connects again, confirms what was sent, notices silence |
//! | `connect_options`, `separate_connections` | how a bus connects; `states` are those of its connections |
//! | `jetstream_place`, `jetstream_options` | the JetStream of a connection: its own, or that of a domain or another account |
//! | `served_services` | the services in the name of a connection |
//! | `jetstream`, `declared_streams` | what a connection holds for JetStream; the streams that were declared over it |
//! | `wait_for_ready`, `flush` | messages that wait for the connection; the confirmation of what was sent, and the end
//! |
//! | `nats`, `in_process` | the two carriers; `nats_connection` makes a connection over NATS, `nats_carrier` ends it |
//! | `nats_client` | the client of async-nats below a bus, and buses over one of the user (feature `async-nats`) |
//! | `begun_moves`, `moves` | subscriptions that move to another link while both are connected |
//! | `inbox` | reads the inbox, and subscribes to it again after NATS has revoked it |
//! | `server_urls`, `login`, `connect_error` | the servers and the login of a URL; the cause for which none took the
//! connection |
//! | `server_version` | the minimum version of nats-server |
//! | `fault_injection` | faults of the in-process carrier on command, for tests (feature `__testkit`) |
//! | `mux` | reply slots: matches what arrives in the inbox to the call or stream that waits for it |
//! | `outbox`, `outbox_task`, `try_publish` | the two fast ways out: batched requests, and messages for which there is room now |
//! | `call_cancellation`, `cancel_messages` | which calls are canceled, and the messages that tell their servers |
//! | `unconfirmed_calls` | calls that ended while NATS held their requests up, and are canceled for it |
//! | `multi_reply` | one request with many replies |
//! | `runtime` | the error of what is polled outside of a tokio runtime |
//! | `subscription` | a subscription that stops without losing a message |
//! | `open_subscriptions`, `subscription_registration` | those that are open: which NATS is asked about again, and which end once it refuses them |
//! | `refusal`, `refusals` | what NATS does not allow, and those that it concerns; `refusal_reader` reads it from NATS
//! |
//! | `revoked` | which subscription lost its permission, where nats-server does not state the queue group |
//! | `permission_line` | the line of permissions that is missing |
//! | `subscription_proof`, `marker` | proves that NATS has refused no subscription |
//! | `refused_events`, `refusal_memory` | refused events; the subjects that were refused a moment ago, which nothing is
//! sent to |
//! | `loss_recovery`, `probe` | asks NATS again where its errors may have been lost: when and about what, and how |
//! | `permission`, `publish_uses`, `probe_subscriptions` | what it is asked about; the messages that it sends to a
//! probe |

mod begun_moves;
mod bus;
mod call_cancellation;
mod cancel_messages;
mod capacity;
mod connect_error;
mod connect_options;
mod connection;
mod connection_counts;
mod connection_role;
mod connection_state;
mod connections;
#[cfg(feature = "jetstream")]
mod declared_streams;
mod env;
#[cfg(feature = "__testkit")]
pub mod fault_injection;
mod flush;
mod in_process;
#[cfg(test)]
mod in_process_tests;
mod inbox;
#[cfg(feature = "jetstream")]
mod jetstream;
mod jetstream_options;
mod jetstream_place;
#[cfg(feature = "jetstream")]
mod jetstream_state;
mod link;
mod login;
mod loss_recovery;
mod marker;
mod moves;
mod multi_reply;
mod mux;
mod nats;
mod nats_carrier;
#[cfg(feature = "async-nats")]
mod nats_client;
mod nats_connection;
mod open_subscriptions;
mod outbox;
mod outbox_task;
mod outgoing;
mod permission;
mod permission_line;
mod probe;
mod probe_subscriptions;
#[cfg(feature = "jetstream")]
mod publish_uses;
mod reconnects;
mod refusal;
mod refusal_log;
mod refusal_memory;
mod refusal_queue;
mod refusal_reader;
mod refusal_tasks;
mod refusal_watch;
mod refusals;
mod refused_cancels;
mod refused_events;
mod revoked;
mod runtime;
mod separate_connections;
mod served_services;
mod server_urls;
mod server_version;
mod states;
#[cfg(feature = "jetstream")]
mod subject_claims;
mod subscription;
mod subscription_proof;
mod subscription_registration;
mod try_publish;
mod unconfirmed_calls;
mod wait_for_ready;
mod waiting_room;

pub use bus::Bus;
pub use connect_options::ConnectOptions;
pub(crate) use connection::Connection;
pub use connection_state::ConnectionState;
pub(crate) use connections::Connections;
pub(crate) use multi_reply::{MultiReply, MultiReplyEnd, ReplyLimits, RequestError, instant_after};
pub(crate) use mux::{AbandonedRequest, FrameSink, InboundStream, ReceivedReply, ReplySlot};
#[cfg(feature = "__bench")]
pub(crate) use mux::{SlotKey, SlotTable};
pub(crate) use outgoing::{Outgoing, PublishError, disconnected};
pub(crate) use refusal::{Refusal, inbox_refused};
pub(crate) use refusal_log::Concern;
pub(crate) use refusal_watch::RefusalWatch;
pub(crate) use refusals::RefusalObserver;
pub(crate) use runtime::NoRuntime;
#[cfg(feature = "jetstream")]
pub(crate) use runtime::is_runtime_ending;
pub(crate) use served_services::NamedServices;
pub use states::ConnectionStates;
pub(crate) use subscription::CarrierSubscription;
pub(crate) use subscription_proof::{ProvenSubscription, unless_refused};
