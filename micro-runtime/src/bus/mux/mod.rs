//! Matches replies to calls: one inbox per connection, one reply slot per call in flight.

mod mux;
mod table;

pub(crate) use mux::{FrameSink, Mux, ReplySlot};
#[cfg(feature = "__bench")]
pub(crate) use table::{SlotKey, SlotTable};
