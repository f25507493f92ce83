//! The market seen from outside: its parts as processes, which are killed, against a real
//! nats-server with JetStream.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "figures of runs that take long")]

mod loss;
mod replay;
mod runs;
mod services;
mod world;
