//! `StreamDeclaration`: a stream as a program declares it, with the names of NATS. Does no I/O.

use serde_json::json;

use crate::jetstream::on_difference::DifferenceRules;
use crate::jetstream::raw_config::RawConfig;

/// A stream as a program declares it, by its name in NATS.
pub(super) struct StreamDeclaration {
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
    pub(super) config: RawConfig,
    pub(super) rules: DifferenceRules,
}

impl StreamDeclaration {
    /// Returns the configuration that creates the stream.
    pub(super) fn creation(&self) -> serde_json::Value {
        json!(self.config)
    }
}
