//! Calls, streams, events and queries while the in-process carrier loses, delays, repeats, reorders and forges
//! messages, and while the connection is lost.

mod calls;
mod disconnection;
mod echoes;
pub(crate) mod events;
mod fixture;
mod forgeries;
mod instances;
mod large_messages;
mod permissions;
mod random_faults;
mod streams;
