//! The physical connections of a bus to NATS, one after the other.
//!
//! async-nats keeps what it is given while it is disconnected, and sends it after the reconnect: requests whose callers
//! have long been told that they failed. So here every physical connection has a client of its own, which dies with
//! it, and with it whatever it has not sent.
//!
//! - `Link` is one physical connection with its tasks; `connect` makes the client of one.
//! - `LinkKeeper` makes the next one when a link is lost, from the servers of a `ServerPool`, after the delays of a
//!   `ReconnectBackoff`.
//! - `handover` moves everything to another link while the old one is still connected, where its nats-server is about
//!   to stop; a `Gate` keeps the order of messages.
//! - `CutDetector` tells losses at messages that async-nats cannot parse, by the `LinkTraffic` of each link.
//! - `CurrentLink` holds the one that messages go through, if there is one.

mod attempt_log;
mod backoff;
mod bulk_window;
mod close_links;
mod connect;
mod current_link;
mod cut_detector;
mod failed_round;
#[cfg(feature = "async-nats")]
mod foreign_link;
mod gate;
mod handover;
mod link;
mod link_events;
mod link_keeper;
mod link_logs;
mod link_traffic;
mod pulse;
mod server_pool;
mod silence;
mod window;

pub(super) use current_link::CurrentLink;
#[cfg(feature = "async-nats")]
pub(super) use foreign_link::watch_foreign;
pub(super) use link::Link;
#[cfg(feature = "async-nats")]
pub(super) use link::LinkParts;
pub(super) use link_keeper::LinkKeeper;
#[cfg(feature = "__testkit")]
pub(super) use link_keeper::lost_connection;
pub(super) use silence::SilenceLimits;
