//! `RawConfig`: the configuration of a stream or a consumer as JetStream has it, with all that this library does not
//! know. Does no I/O.
//!
//! An update of JetStream replaces the configuration as a whole: what is left out goes back to its default. So what
//! exists is read as JSON, the declared fields are put over it, and all of it is sent back.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::jetstream::on_difference::DifferenceRules;

/// Key of the metadata, which has texts alone.
const METADATA: &str = "metadata";
/// Key of the description.
const DESCRIPTION: &str = "description";
/// Metadata that names the program that has declared something last.
const DECLARED_BY: &str = "micro.declared_by";
/// Metadata with the version of a declaration.
const VERSION: &str = "micro.version";
/// Fields that an update leaves as they are: names, what JetStream refuses to change, and the limit of deliveries,
/// below which events would stay that have had more.
const FIXED: [&str; 7] = [
    "name",
    "durable_name",
    "ack_policy",
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "max_deliver",
];

/// Configuration of a stream or a consumer, in JSON.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub(super) struct RawConfig(Map<String, Value>);

impl RawConfig {
    /// Sets a field.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Sets a field to a time, which JetStream has in nanoseconds.
    pub(super) fn set_duration(&mut self, key: &str, duration: Duration) {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        self.set(key, nanos);
    }

    /// Removes a field.
    pub(super) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Adds the description, unless it has one already, and who declares this with which version.
    pub(super) fn describe(&mut self, description: String, version: Option<u64>) {
        if self.text(DESCRIPTION).is_empty() {
            self.set(DESCRIPTION, description);
        }
        if let Some(program) = program_name() {
            self.set_metadata(DECLARED_BY, program);
        }
        if let Some(version) = version {
            self.set_metadata(VERSION, version.to_string());
        }
    }

    /// Adds an entry to the metadata.
    pub(super) fn set_metadata(&mut self, key: &str, text: impl Into<String>) {
        let metadata = self.0.entry(METADATA).or_insert_with(|| json!({}));
        metadata[key] = text.into().into();
    }

    /// Returns the version of the declaration that this was made or updated by.
    pub(super) fn version(&self) -> Option<u64> {
        self.0.get(METADATA)?.get(VERSION)?.as_str()?.parse().ok()
    }

    /// Returns a text; empty if there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a number; 0 if there is none.
    pub(super) fn number(&self, key: &str) -> i64 {
        self.0.get(key).and_then(Value::as_i64).unwrap_or_default()
    }

    /// Returns a list of texts in alphabetical order.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let list = self.0.get(key).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        let mut texts: Vec<_> = texts.map(str::to_owned).collect();
        texts.sort();
        texts
    }

    /// Returns a time that is zero without one, as JetStream has it.
    pub(super) fn duration(&self, key: &str) -> Duration {
        Duration::from_nanos(u64::try_from(self.number(key)).unwrap_or_default())
    }

    /// Shows a limit, where zero and less is none, as for nats-server.
    pub(super) fn shown_limit(&self, key: &str) -> String {
        match self.number(key) {
            ..=0 => "unlimited".to_owned(),
            limit => limit.to_string(),
        }
    }

    /// Shows a time, where zero is no limit.
    pub(super) fn shown_duration(&self, key: &str) -> String {
        match self.duration(key) {
            Duration::ZERO => "unlimited".to_owned(),
            duration => format!("{duration:?}"),
        }
    }

    /// Returns this configuration with the fields of `declared` in place of its own. Metadata is merged, and a
    /// description is replaced only by one of the user.
    pub(super) fn overlaid(&self, declared: &Self, rules: DifferenceRules) -> Self {
        let mut config = self.clone();
        for (key, value) in &declared.0 {
            match (key.as_str(), value) {
                (key, _) if FIXED.contains(&key) => {}
                (DESCRIPTION, _) if !rules.is_described && !self.text(DESCRIPTION).is_empty() => {}
                (METADATA, Value::Object(entries)) => {
                    let metadata = config.0.entry(METADATA).or_insert_with(|| json!({}));
                    for (key, text) in entries {
                        metadata[key] = text.clone();
                    }
                }
                (key, value) => config.set(key, value.clone()),
            }
        }
        // A consumer has one of the two.
        if declared.0.contains_key("filter_subject") {
            config.remove("filter_subjects");
        }
        config
    }
}

/// Returns the name of the program's file; `None` where the system does not tell it.
fn program_name() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    Some(path.file_stem()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> RawConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_update_keeps_what_is_not_declared() {
        let found = config(json!({
            "name": "MARKET", "max_msgs": 50, "placement": {"cluster": "eu"}, "description": "of an operator",
            "metadata": {"_nats.level": "1", "team": "core", "micro.version": "1"},
            "filter_subjects": ["evt.a", "evt.b"], "max_deliver": 3,
        }));
        let mut declared = config(json!({
            "name": "MARKET", "max_msgs": 100, "filter_subject": "evt.>", "max_deliver": -1, "deliver_policy": "new",
        }));
        declared.describe("of the library".to_owned(), Some(2));
        declared.remove("metadata");
        declared.set_metadata("micro.version", "2");
        let expected = config(json!({
            "name": "MARKET", "max_msgs": 100, "placement": {"cluster": "eu"}, "description": "of an operator",
            "metadata": {"_nats.level": "1", "team": "core", "micro.version": "2"},
            "filter_subject": "evt.>", "max_deliver": 3,
        }));
        let rules = DifferenceRules::default();
        assert_eq!(found.overlaid(&declared, rules), expected);
        let rules = DifferenceRules {
            is_described: true,
            ..rules
        };
        let described = found.overlaid(&declared, rules);
        assert_eq!(described.text("description"), "of the library");
        assert_eq!(described.version(), Some(2));
    }
}
