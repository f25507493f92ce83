//! Tests of stream machines: two of them back to back over a simulated wire, without a bus, under a simulated clock.
//!
//! `rules`, `liveness`, `plain_messages` and `stopping` have one case for each rule of docs/PROTOCOL.md, `golden` has
//! its bytes, and `properties` has random runs.

#[path = "machine_tests/application.rs"]
mod application;
#[path = "machine_tests/golden.rs"]
mod golden;
#[path = "machine_tests/liveness.rs"]
mod liveness;
#[path = "machine_tests/plain_messages.rs"]
mod plain_messages;
#[path = "machine_tests/properties.rs"]
mod properties;
#[path = "machine_tests/rules.rs"]
mod rules;
#[path = "machine_tests/simulation.rs"]
mod simulation;
#[path = "machine_tests/stopping.rs"]
mod stopping;
