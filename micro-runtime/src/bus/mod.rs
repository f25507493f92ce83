//! The bus: publishing, subscribing, and matching replies to calls, over NATS or inside one process.
//!
//! Only this folder distinguishes the two carriers. Everything above uses one [`Connection`] with the same
//! subjects, queue groups, size limit and errors on either, so that a test without a server exercises the code
//! that production runs.
//!
//! | file | responsibility |
//! |---|---|
//! | `bus` | the public handle: a connection and a subject prefix |
//! | `connection` | one connection with its inbox, shared by all buses, clients and servers made from it |
//! | `nats`, `in_process` | the two carriers |
//! | `mux` | reply slots: matches what arrives in the inbox to the call or stream that waits for it |
//! | `outbox`, `try_publish` | the two fast ways out: batched requests, and messages for which there is room now |
//! | `multi_reply` | one request with many replies |
//! | `subscription` | a subscription that stops without losing a message |

mod bus;
mod connection;
mod env;
mod in_process;
#[cfg(test)]
mod in_process_tests;
#[cfg(feature = "jetstream")]
mod jetstream;
#[cfg(feature = "jetstream")]
mod jetstream_state;
mod multi_reply;
mod mux;
mod nats;
mod outbox;
mod outgoing;
#[cfg(feature = "jetstream")]
mod subject_claims;
mod subscription;
mod try_publish;

pub use bus::Bus;
pub(crate) use connection::Connection;
pub(crate) use multi_reply::{MultiReply, MultiReplyEnd, ReplyLimits, RequestError, instant_after};
pub(crate) use mux::{FrameSink, ReplySlot};
#[cfg(feature = "__bench")]
pub(crate) use mux::{SlotKey, SlotTable};
#[cfg(feature = "jetstream")]
pub(crate) use nats::new_inbox;
pub(crate) use nats::{concerns_inbox, concerns_subject};
pub(crate) use outgoing::{Outgoing, PublishError};
pub(crate) use subscription::CarrierSubscription;
