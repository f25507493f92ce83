//! Two machines, back to back, over a wire that a test controls.

#[path = "machine_tests/application.rs"]
mod application;
#[path = "machine_tests/golden.rs"]
mod golden;
#[path = "machine_tests/liveness.rs"]
mod liveness;
#[path = "machine_tests/properties.rs"]
mod properties;
#[path = "machine_tests/rules.rs"]
mod rules;
#[path = "machine_tests/simulation.rs"]
mod simulation;
