//! Tests of the public interface, over a private nats-server and inside the process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod behavior;
mod bursts;
mod carriers;
mod crash;
mod detached;
mod discovery;
mod durable;
mod dynamic;
mod events;
mod execution;
mod faults;
mod greeter;
mod json;
mod permissions;
mod plain_peers;
mod polling;
mod prefix;
mod python;
mod replies;
mod resilience;
mod rolling_upgrade;
mod script;
mod server_process;
mod shutdown;
mod streams;
mod until;
mod wire_format;
