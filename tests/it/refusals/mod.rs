//! A refusal of NATS ends what it concerns within a round trip, and nothing else.

mod calls;
mod captures;
mod discovery;
mod durable;
mod flood;
mod floods;
mod floods_of_servers;
mod in_flight;
mod inbox;
mod many;
mod mute_services;
mod proofs;
mod revoked;
mod separate_connections;
mod servers;
mod starts;
mod streams;
pub(crate) mod trade_taker;
mod users;
