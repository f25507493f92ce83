//! The examples of docs/golden.json, which docs/PROTOCOL.md shows, for the tests that hold them.

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;

/// One message on the wire.
#[derive(Debug, Deserialize)]
pub(crate) struct Example {
    name: String,
    /// Name and value of each header.
    headers: Vec<(String, String)>,
    /// Hexadecimal.
    payload: String,
}

/// Content of docs/golden.json.
#[derive(Deserialize)]
struct Document {
    examples: Vec<Example>,
}

/// Returns the example with this name.
pub(crate) fn example(name: &str) -> Example {
    let document = include_str!("../../../docs/golden.json");
    let Document { examples } = serde_json::from_str(document).unwrap();
    let found = examples.into_iter().find(|example| example.name == name);
    found.unwrap_or_else(|| panic!("docs/golden.json has no example `{name}`"))
}

impl Example {
    /// Returns the headers, as they arrive.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name.as_str(), value.as_str());
        }
        headers
    }

    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found
            .unwrap_or_else(|| panic!("no `{name}` in {self:?}"))
            .1
            .as_str()
    }

    pub(crate) fn payload(&self) -> Bytes {
        let digits = self.payload.as_bytes().chunks(2);
        let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    }

    /// Checks that a message has the headers and the payload of the example.
    #[track_caller]
    pub(crate) fn check(&self, headers: Option<&HeaderMap>, payload: &[u8]) {
        let none = HeaderMap::new();
        let name = &self.name;
        assert_eq!(
            headers.unwrap_or(&none),
            &self.headers(),
            "headers of {name}"
        );
        self.check_payload(payload);
    }

    /// Checks that a payload is that of the example.
    #[track_caller]
    pub(crate) fn check_payload(&self, payload: &[u8]) {
        let (found, expected) = (payload.escape_ascii(), self.payload());
        let expected = expected.escape_ascii();
        assert_eq!(
            found.to_string(),
            expected.to_string(),
            "payload of {}",
            self.name
        );
    }
}
