//! Makes a record of another library readable: null is an empty value, a number or a bool in place of a text is its
//! text, and what remains unreadable is left out alone, not with the whole record. Pure.
//!
//! Libraries of dynamic languages write what their user gave them, and jnats writes an empty text as null. A service
//! that runs must not be invisible for it.

use serde_json::{Map, Value};

use crate::discovery::invalid_field::kind_of;
use crate::wire::header::parse_number;

/// Kind of value that our types need in a field.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A whole number that is not negative.
    Count,
    /// A number, in nanoseconds.
    Time,
    Labels,
    Endpoints,
}

/// Fields of the records PING, INFO and STATS.
const RECORD: &[(&str, Kind)] = &[
    ("name", Kind::Text),
    ("id", Kind::Text),
    ("version", Kind::Text),
    ("description", Kind::Text),
    ("started", Kind::Text),
    ("metadata", Kind::Labels),
    ("endpoints", Kind::Endpoints),
];

/// Fields of an endpoint in INFO and STATS.
const ENDPOINT: &[(&str, Kind)] = &[
    ("name", Kind::Text),
    ("subject", Kind::Text),
    ("queue_group", Kind::Text),
    ("last_error", Kind::Text),
    ("metadata", Kind::Labels),
    ("num_requests", Kind::Count),
    ("num_errors", Kind::Count),
    ("processing_time", Kind::Time),
    ("average_processing_time", Kind::Time),
];

/// A field that was left out: its path, and what was in its place.
pub(super) type LeftOut = (String, &'static str);

/// Changes the fields of a record to what our types read, and returns those that were left out.
pub(super) fn repair(record: &mut Map<String, Value>) -> Vec<LeftOut> {
    let mut left_out = Vec::new();
    repair_fields(record, RECORD, "", &mut left_out);
    left_out
}

fn repair_fields(
    object: &mut Map<String, Value>,
    fields: &[(&str, Kind)],
    path: &str,
    left_out: &mut Vec<LeftOut>,
) {
    for (name, kind) in fields {
        let Some(value) = object.get_mut(*name) else {
            continue;
        };
        let path = format!("{path}{name}");
        let is_readable = match kind {
            Kind::Text => repair_text(value),
            Kind::Count => repair_count(value),
            Kind::Time => value.is_number() || value.is_null() || repair_count(value),
            Kind::Labels => repair_labels(value, &path, left_out),
            Kind::Endpoints => repair_endpoints(value, &path, left_out),
        };
        if !is_readable {
            left_out.push((path, kind_of(value)));
            object.remove(*name);
        }
    }
}

fn repair_text(value: &mut Value) -> bool {
    *value = match value {
        Value::String(_) => return true,
        Value::Null => Value::String(String::new()),
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        Value::Array(_) | Value::Object(_) => return false,
    };
    true
}

fn repair_count(value: &mut Value) -> bool {
    let count = match value {
        Value::Null => Some(0),
        Value::String(text) => parse_number(text),
        // JavaScript has no integers: `1e3` and `7.0` are whole.
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    count.is_some_and(|count: u64| {
        *value = count.into();
        true
    })
}

fn whole(number: f64) -> Option<u64> {
    // The text of a whole number has no fraction, and is parsed without a cast that rounds.
    format!("{number:.0}")
        .parse()
        .ok()
        .filter(|_| number.fract() == 0.0)
}

fn repair_labels(value: &mut Value, path: &str, left_out: &mut Vec<LeftOut>) -> bool {
    let Value::Object(labels) = value else {
        return value.is_null();
    };
    labels.retain(|key, value| {
        let is_text = repair_text(value);
        if !is_text {
            left_out.push((format!("{path}.{key}"), kind_of(value)));
        }
        is_text
    });
    true
}

fn repair_endpoints(value: &mut Value, path: &str, left_out: &mut Vec<LeftOut>) -> bool {
    let Value::Array(endpoints) = value else {
        return value.is_null();
    };
    let mut index = 0;
    endpoints.retain_mut(|endpoint| {
        let path = format!("{path}[{index}]");
        index += 1;
        let Value::Object(fields) = endpoint else {
            left_out.push((path, kind_of(endpoint)));
            return false;
        };
        repair_fields(fields, ENDPOINT, &format!("{path}."), left_out);
        let is_named = ["name", "subject"]
            .iter()
            .all(|name| fields.contains_key(*name));
        if !is_named {
            left_out.push((path, "an endpoint without a name or a subject"));
        }
        is_named
    });
    true
}
