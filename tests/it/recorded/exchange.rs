//! `Exchange`: the messages of one call or event on the wire, and their file.

use std::path::PathBuf;

use async_nats::{HeaderMap, HeaderName, Message};
use bytes::Bytes;
use micro_testkit::workspace_root;
use serde_json::{Value, json};

/// The messages of one step of the recorded program, in their order.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) messages: Vec<WireMessage>,
}

/// One NATS message.
#[derive(Clone, Debug)]
pub(super) struct WireMessage {
    /// Subject; `inbox` for a message to the reply subject of the first one.
    pub(super) subject: String,
    pub(super) has_reply_subject: bool,
    pub(super) headers: Vec<(String, String)>,
    pub(super) payload: Bytes,
}

/// Subject of a message to the reply subject of the exchange's first one, in the file.
pub(super) const INBOX: &str = "inbox";

/// Returns the recorded versions of the wire, in the order of their numbers.
pub(super) fn released() -> Vec<String> {
    let recorded = |number: &u32| file(&number.to_string()).exists();
    let released = (1..).take_while(recorded).map(|number| number.to_string());
    let released = released.collect::<Vec<_>>();
    assert!(!released.is_empty());
    released
}

/// Returns the file of a version of the wire.
pub(super) fn file(wire: &str) -> PathBuf {
    workspace_root().join(format!("tests/it/recorded/wire-{wire}.json"))
}

/// Reads the exchanges of a version of the wire.
pub(super) fn read(wire: &str) -> Vec<Exchange> {
    let text = std::fs::read_to_string(file(wire)).unwrap();
    let file = serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(file["wire"], wire);
    let exchanges = file["exchanges"].as_array().unwrap();
    exchanges.iter().map(Exchange::from_json).collect()
}

/// Returns the text of the file with these exchanges.
pub(super) fn write(wire: &str, exchanges: &[Exchange]) -> String {
    let exchanges = exchanges.iter().map(Exchange::to_json).collect::<Vec<_>>();
    serde_json::to_string_pretty(&json!({"wire": wire, "exchanges": exchanges})).unwrap() + "\n"
}

impl Exchange {
    /// Returns the first message that was sent to the reply subject of the exchange.
    pub(super) fn reply(&self) -> Option<&WireMessage> {
        self.replies().next()
    }

    /// Returns the messages that were sent to the reply subject of the exchange.
    pub(super) fn replies(&self) -> impl Iterator<Item = &WireMessage> {
        self.messages.iter().filter(|one| one.subject == INBOX)
    }

    /// Returns the reply as JSON: a record of discovery.
    pub(super) fn record(&self) -> Value {
        serde_json::from_slice(&self.reply().unwrap().payload).unwrap()
    }

    fn from_json(json: &Value) -> Self {
        let messages = json["messages"].as_array().unwrap();
        Self {
            name: text(&json["name"]),
            messages: messages.iter().map(WireMessage::from_json).collect(),
        }
    }

    fn to_json(&self) -> Value {
        let messages = self.messages.iter().map(WireMessage::to_json);
        json!({"name": self.name, "messages": messages.collect::<Vec<_>>()})
    }
}

impl WireMessage {
    /// Returns a message as it was received; `inbox` is the reply subject of the exchange's first one.
    pub(super) fn new(message: &Message, inbox: Option<&str>) -> Self {
        let headers = message.headers.iter().flat_map(HeaderMap::iter);
        let headers = headers.flat_map(|(name, values)| {
            let values = values.iter();
            values.map(move |value| (name.to_string(), value.to_string()))
        });
        let mut headers = headers.collect::<Vec<_>>();
        // The order of the names differs from run to run, that of the values does not.
        headers.sort_by(|one, other| one.0.cmp(&other.0));
        let subject = message.subject.as_str();
        Self {
            subject: match inbox {
                Some(inbox) if inbox == subject => INBOX.to_owned(),
                _ => subject.to_owned(),
            },
            has_reply_subject: message.reply.is_some(),
            headers,
            payload: message.payload.clone(),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    /// Returns the headers for async-nats.
    pub(super) fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = name.parse::<HeaderName>().unwrap();
            headers.append(name, value.as_str());
        }
        headers
    }

    fn from_json(json: &Value) -> Self {
        let headers = json["headers"].as_array().unwrap();
        let header = |pair: &Value| (text(&pair[0]), text(&pair[1]));
        Self {
            subject: text(&json["subject"]),
            has_reply_subject: json["has_reply_subject"].as_bool().unwrap(),
            headers: headers.iter().map(header).collect(),
            payload: from_hex(&text(&json["payload"])),
        }
    }

    fn to_json(&self) -> Value {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| json!([name, value]));
        json!({
            "subject": self.subject,
            "has_reply_subject": self.has_reply_subject,
            "headers": headers.collect::<Vec<_>>(),
            "payload": to_hex(&self.payload),
        })
    }
}

fn text(json: &Value) -> String {
    json.as_str().unwrap().to_owned()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect::<Vec<_>>().into()
}
