//! The bus: where calls and events travel, over NATS or inside one process.

mod bus;
mod connection;
mod env;
mod gather;
mod in_process;
#[cfg(feature = "jetstream")]
mod jetstream;
#[cfg(feature = "jetstream")]
mod jetstream_state;
mod mux;
mod nats;
mod outbox;
mod outgoing;
#[cfg(feature = "jetstream")]
mod stream_claims;
mod subscription;
mod try_publish;

pub use bus::Bus;
pub(crate) use connection::Connection;
pub(crate) use gather::{MultiReply, MultiReplyEnd, ReplyLimits, RequestError, after};
#[cfg(feature = "__bench")]
pub(crate) use mux::{Key, Table};
pub(crate) use mux::{ReplySlot, Sink};
pub(crate) use nats::{is_about, is_about_inbox};
pub(crate) use outgoing::{Outgoing, PublishError};
pub(crate) use subscription::CarrierSubscription;
