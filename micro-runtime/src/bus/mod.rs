//! The bus: where calls and events travel, over NATS or inside one process.

mod bus;
mod connection;
mod env;
mod in_process;
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
pub(crate) use nats::{concerns_inbox, concerns_subject};
pub(crate) use outgoing::{Outgoing, PublishError};
pub(crate) use subscription::CarrierSubscription;
