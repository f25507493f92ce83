//! Matches replies to calls: multiplexes all calls of a connection over one inbox, with one reply slot per call in
//! flight.
//!
//! A connection subscribes to its inbox once, to `<inbox>.*`; the last token of a reply subject names the slot
//! of the table, so that a reply is found without a map, a subscription or an allocation of its own. async-nats's
//! `Client::request` keeps an entry for each request that never gets a reply; here dropping the call frees
//! its slot at once.
//!
//! `table` holds the rules and is pure; `refused_subjects` remembers which requests are refused, and `refuse` ends
//! those that are in flight; `mux` puts them behind a lock and connects them to messages and wakers; `reply_slot` is
//! one use of a slot, and `received_reply` what arrives for it.

mod mux;
mod received_reply;
mod refuse;
mod refused_subjects;
mod reply_slot;
mod slot;
mod table;

pub(crate) use mux::{ConfirmedRequests, FrameSink, InboundStream, Mux};
pub(crate) use received_reply::ReceivedReply;
pub(crate) use reply_slot::{AbandonedRequest, ReplySlot};
#[cfg(feature = "__bench")]
pub(crate) use slot::SlotKey;
#[cfg(feature = "__bench")]
pub(crate) use table::SlotTable;
