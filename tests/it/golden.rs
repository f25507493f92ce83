//! The examples of docs/golden.json, which docs/PROTOCOL.md shows, for the tests that hold them.

use async_nats::{HeaderMap, Message};
use micro_testkit::workspace_root;
use serde_json::Value;

/// One message on the wire. Text between `<` and `>` stands for what differs from run to run.
#[derive(Debug)]
pub(crate) struct Example {
    name: String,
    subject: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
}

/// Returns the example with this name.
pub(crate) fn example(name: &str) -> Example {
    let text = std::fs::read_to_string(workspace_root().join("docs/golden.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let examples = document["examples"].as_array().unwrap();
    let found = examples.iter().find(|example| example["name"] == name);
    let found = found.unwrap_or_else(|| panic!("docs/golden.json has no example `{name}`"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers = found["headers"].as_array().unwrap().iter();
    let digits = text(&found["payload"]);
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    Example {
        name: name.to_owned(),
        subject: text(&found["subject"]),
        headers: headers
            .map(|header| (text(&header[0]), text(&header[1])))
            .collect(),
        payload: (0..digits.len()).step_by(2).map(byte).collect(),
    }
}

impl Example {
    /// Returns the subject with the service base that the example leaves open.
    pub(crate) fn subject(&self, service_base: &str) -> String {
        self.subject.replace("<service base>", service_base)
    }

    /// Returns the payload, to be sent.
    pub(crate) fn payload(&self) -> bytes::Bytes {
        self.payload.clone().into()
    }

    /// Returns the headers, to be sent.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name.as_str(), value.as_str());
        }
        headers
    }

    /// Checks that a message has the subject, the headers and the payload of the example.
    #[track_caller]
    pub(crate) fn check(&self, message: &Message) {
        self.check_subject(message);
        self.check_headers(message);
        let (found, expected) = (message.payload.escape_ascii(), self.payload.escape_ascii());
        assert_eq!(
            found.to_string(),
            expected.to_string(),
            "payload of {}",
            self.name
        );
    }

    /// Checks that a message has the subject of the example, in which `<…>` stands for one token or several.
    #[track_caller]
    fn check_subject(&self, message: &Message) {
        let parts = self.subject.split(['<', '>']).enumerate();
        let pattern = parts.map(|(number, part)| match number % 2 {
            0 => regex::escape(part),
            _ => r"[^.]+(?:\.[^.]+)*".to_owned(),
        });
        let pattern = format!("^{}$", pattern.collect::<String>());
        let subject = &message.subject;
        assert!(
            regex::Regex::new(&pattern).unwrap().is_match(subject),
            "subject of {}: {subject}",
            self.name
        );
    }

    /// Checks that a message has the headers of the example, and no others: the values of a name in this order.
    #[track_caller]
    pub(crate) fn check_headers(&self, message: &Message) {
        let none = HeaderMap::new();
        let found = message.headers.as_ref().unwrap_or(&none);
        for (name, _) in &self.headers {
            let expected = self.headers.iter().filter(|(other, _)| other == name);
            let expected: Vec<&str> = expected.map(|(_, value)| value.as_str()).collect();
            let values = found.get_all(name.as_str());
            let values: Vec<&str> = values.map(async_nats::HeaderValue::as_str).collect();
            let is_right =
                |(value, expected): (&&str, &&str)| expected.starts_with('<') || value == expected;
            assert!(
                values.len() == expected.len() && values.iter().zip(&expected).all(is_right),
                "`{name}` of {}: {values:?} instead of {expected:?}",
                self.name
            );
        }
        let lines: usize = found.iter().map(|(_, values)| values.len()).sum();
        assert_eq!(
            lines,
            self.headers.len(),
            "headers of {}: {found:?}",
            self.name
        );
    }
}
