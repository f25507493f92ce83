//! Streams of all three kinds, on both carriers.

mod addressing;
mod cancellation;
mod deadlines;
pub(crate) mod fixture;
mod flow_control;
pub(crate) mod frames;
pub(crate) mod items;
mod killed_peers;
mod kinds;
mod middleware;
mod misbehaving_clients;
mod misbehaving_servers;
mod peer_process;
mod protocol;
mod raw_client;
mod shutdown;
mod sizes;
mod statuses;
