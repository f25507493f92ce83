//! The rules of the JSON schemas that the NATS tools use for the three records (`micro/v1`).

use serde_json::Value;

/// Returns every rule that a record violates; none if the tools accept it.
pub(crate) fn violations(verb: &str, record: &Value) -> Vec<String> {
    let mut violations = Violations(Vec::new());
    let kind = format!("io.nats.micro.v1.{}_response", verb.to_ascii_lowercase());
    violations.unless(record["type"] == kind, "type");
    violations.name(&record["name"], "name");
    violations.text(&record["id"], "id", 1);
    let version = record["version"].as_str().unwrap_or_default();
    violations.unless(version.len() >= 5 && is_semver(version), "version");
    violations.metadata(&record["metadata"], "metadata");
    match verb {
        "PING" => {}
        "INFO" => violations.info(record),
        _ => violations.stats(record),
    }
    violations.0
}

/// Names of the violated rules.
struct Violations(Vec<String>);

impl Violations {
    fn unless(&mut self, holds: bool, rule: &str) {
        if !holds {
            self.0.push(rule.to_owned());
        }
    }

    fn text(&mut self, value: &Value, rule: &str, min_len: usize) {
        let length = value.as_str().map(str::len);
        self.unless(length.is_some_and(|length| length >= min_len), rule);
    }

    fn name(&mut self, value: &Value, rule: &str) {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name = value.as_str().unwrap_or_default();
        self.unless(!name.is_empty() && name.chars().all(is_allowed), rule);
    }

    fn integer(&mut self, value: &Value, rule: &str) {
        self.unless(value.is_i64() || value.is_u64(), rule);
    }

    fn metadata(&mut self, value: &Value, rule: &str) {
        let holds = match value {
            Value::Null => true,
            Value::Object(entries) => entries.values().all(Value::is_string),
            _ => false,
        };
        self.unless(holds, rule);
    }

    fn endpoint(&mut self, endpoint: &Value) {
        self.name(&endpoint["name"], "endpoint name");
        self.text(&endpoint["subject"], "endpoint subject", 1);
        self.metadata(&endpoint["metadata"], "endpoint metadata");
        let subject = endpoint["subject"].as_str().unwrap_or_default();
        self.unless(!subject.contains(['*', '>']), "a literal subject");
    }

    fn info(&mut self, record: &Value) {
        self.text(&record["description"], "description", 0);
        self.unless(record["endpoints"].is_array(), "endpoints");
        for endpoint in record["endpoints"].as_array().into_iter().flatten() {
            self.endpoint(endpoint);
            self.text(&endpoint["queue_group"], "queue_group", 0);
        }
    }

    fn stats(&mut self, record: &Value) {
        let started = record["started"].as_str().unwrap_or_default();
        self.unless(is_rfc3339(started), "started");
        self.unless(record["endpoints"].is_array(), "endpoints");
        for endpoint in record["endpoints"].as_array().into_iter().flatten() {
            self.endpoint(endpoint);
            for field in [
                "num_requests",
                "num_errors",
                "processing_time",
                "average_processing_time",
            ] {
                self.integer(&endpoint[field], field);
            }
            self.text(&endpoint["last_error"], "last_error", 0);
            let data = endpoint.get("data");
            self.unless(data.is_none_or(Value::is_object), "data");
        }
    }
}

/// Checks the version pattern of the schemas, as far as the versions of this project need it.
fn is_semver(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| part.parse::<u64>().is_ok_and(|n| n.to_string() == part);
    core.split('.').count() == 3 && core.split('.').all(is_number)
}

fn is_rfc3339(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00.000000Z"
}

#[test]
fn violations_of_the_record_schema_are_found() {
    let record = serde_json::json!({
        "type": "io.nats.micro.v1.stats_response", "name": "a.b", "id": "", "version": "1.0",
        "metadata": {"a": 1}, "started": "now",
        "endpoints": [{"name": "e", "subject": "s.>", "num_requests": 1.5, "num_errors": 0,
            "last_error": null, "processing_time": 0, "average_processing_time": 0, "data": []}],
    });
    let expected = [
        "name",
        "id",
        "version",
        "metadata",
        "started",
        "a literal subject",
        "num_requests",
        "last_error",
        "data",
    ];
    assert_eq!(violations("STATS", &record), expected);
}
