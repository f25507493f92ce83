//! Generated services that a plain NATS client calls in JSON.

mod canonical_forms;
mod errors;
mod fixture;
mod python;
mod streams;
