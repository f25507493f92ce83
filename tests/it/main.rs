//! The crates at work: over a private nats-server, and inside the process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod behavior;
mod bursts;
mod by_hand;
mod carriers;
mod crash;
mod discovery;
mod durable;
mod dynamic;
mod events;
mod faults;
mod json;
mod permissions;
mod polling;
mod prefix;
mod python;
mod resilience;
mod rolling;
mod script;
mod shutdown;
mod streams;
