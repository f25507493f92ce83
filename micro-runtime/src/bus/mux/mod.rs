//! Matches replies to calls: multiplexes all calls of a connection over one inbox, with one reply slot per call in
//! flight.
//!
//! A connection subscribes to its inbox once, to `<inbox>.*`; the last token of a reply subject names the slot
//! of the table, so that a reply is found without a map, a subscription or an allocation of its own. async-nats's
//! `Client::request` keeps an entry for each request that never gets a reply; here dropping the call frees
//! its slot at once.
//!
//! `table` holds the rules and is pure; `mux` puts it behind a lock and connects it to messages and wakers.

mod mux;
mod table;

pub(crate) use mux::{FrameSink, Mux, ReplySlot};
#[cfg(feature = "__bench")]
pub(crate) use table::{SlotKey, SlotTable};
