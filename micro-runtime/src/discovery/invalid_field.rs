//! `InvalidField`: a value in a record of discovery that cannot be read, and its warning.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::Value;

use crate::log_limit::LogLimit;
use crate::sync::lock;

/// Maximum number of different fields of which a process warns in a line of their own. A peer that sends ever new ones
/// cannot fill the log: those beyond share one line each 30 s.
const MAX_REPORTED: usize = 8;
/// Maximum length in characters of a peer's text in a warning.
const MAX_QUOTED_LEN: usize = 80;

/// Service and path of each field that was reported.
static REPORTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
/// Log of the fields beyond.
static OTHERS: LogLimit = LogLimit::new();

/// A value in a record of discovery that is of no use, so that the field, or the record, is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidField {
    /// ADR-32 name of the service, as the record states it; empty if it does not.
    pub(crate) service: String,
    /// Path of the field, as in `endpoints[0].metadata.limits`; empty for the whole record.
    pub(crate) field: String,
    /// Kind of the value in its place.
    pub(crate) found: &'static str,
}

impl InvalidField {
    /// Names the service that was asked, if the record names none.
    pub(crate) fn of_service(mut self, asked: Option<&str>) -> Self {
        if self.service.is_empty() {
            asked.unwrap_or_default().clone_into(&mut self.service);
        }
        self
    }

    /// Logs a warning, in a line of its own unless one for the same field of the service was logged before or too many
    /// were; returns whether it was that.
    pub(crate) fn report(&self) -> bool {
        let cut = |text: &str| text.chars().take(MAX_QUOTED_LEN).collect::<String>();
        let key = (cut(&self.service), cut(&self.field));
        let mut reported = lock(&REPORTED);
        if reported.contains(&key) {
            return false;
        }
        let is_own = reported.len() < MAX_REPORTED && reported.insert(key.clone());
        drop(reported);
        let ((service, field), found) = (key, self.found);
        if !is_own {
            OTHERS.write(move |count| {
                tracing::warn!(
                    ?service,
                    ?field,
                    found,
                    count,
                    "further records of discovery have fields that cannot be read; they are left out"
                );
            });
            return false;
        }
        tracing::warn!(
            ?service,
            ?field,
            found,
            "a record of discovery has a field that cannot be read; it is left out"
        );
        true
    }
}

/// Returns the kind of a JSON value as an error names it.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number out of range",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_field_of_a_service_is_reported_once_and_never_without_end() {
        let field = |service: &str, number: usize| InvalidField {
            service: service.to_owned(),
            field: format!("metadata.{number}"),
            found: "an object",
        };
        assert!(field("field-test", 1).report());
        assert!(!field("field-test", 1).report());
        assert!(field("field-test", 2).report());
        assert!(field("field-test-2", 1).report());
        let others = (0..2 * MAX_REPORTED).filter(|number| field("flood", *number).report());
        assert!(others.count() <= MAX_REPORTED);
        assert!(lock(&REPORTED).len() <= MAX_REPORTED);
    }
}
