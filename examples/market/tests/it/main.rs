//! The parts of the market as processes, which the tests kill, on a real nats-server with JetStream.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::print_stdout,
    reason = "a test that runs long prints its figures"
)]

mod cli;
mod fixture;
mod loss;
mod replay;
mod services;
