//! Messages whose type is known only at run time: what goes into a call, and what comes out.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _};
use serde_json::Value;

use crate::json;
use crate::json::guarded;
use crate::status::{Code, Reason, Status};

/// A message for a call by a [`DynamicClient`](super::DynamicClient): canonical proto3 JSON, as a
/// value or as text, or a [`DynamicMessage`] of the method's own type.
#[derive(Clone, Debug)]
pub struct DynamicRequest(RequestSource);

#[derive(Clone, Debug)]
enum RequestSource {
    Text(String),
    Message(DynamicMessage),
}

impl From<Value> for DynamicRequest {
    fn from(json: Value) -> Self {
        Self(RequestSource::Text(json.to_string()))
    }
}

impl From<&str> for DynamicRequest {
    fn from(json: &str) -> Self {
        Self(RequestSource::Text(json.to_owned()))
    }
}

impl From<String> for DynamicRequest {
    fn from(json: String) -> Self {
        Self(RequestSource::Text(json))
    }
}

impl From<DynamicMessage> for DynamicRequest {
    fn from(message: DynamicMessage) -> Self {
        Self(RequestSource::Message(message))
    }
}

/// A message that came back.
#[derive(Clone, PartialEq)]
pub struct Dynamic(DynamicMessage);

impl Dynamic {
    /// The message as canonical proto3 JSON, with the fields in the order of their numbers.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it holds an `Any` whose type the service's schema does not have.
    pub fn text(&self) -> Result<String, Status> {
        let text = guarded(|| json::write(&self.0)).map_err(|error| self.not_json(&error))?;
        String::from_utf8(text).map_err(|error| self.not_json(&error.to_string()))
    }

    /// The message as canonical proto3 JSON.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn json(&self) -> Result<Value, Status> {
        let value = guarded(|| serde_json::to_value(&self.0).map_err(|error| error.to_string()));
        value.map_err(|error| self.not_json(&error))
    }

    /// The message with its fields.
    #[must_use]
    pub fn message(&self) -> &DynamicMessage {
        &self.0
    }

    /// The message with its fields, for keeps.
    #[must_use]
    pub fn into_message(self) -> DynamicMessage {
        self.0
    }

    fn not_json(&self, error: &str) -> Status {
        let kind = self.0.descriptor();
        let text = format!("a {} cannot be said in JSON: {error}", kind.full_name());
        Status::new(Code::Internal, text)
    }
}

impl fmt::Debug for Dynamic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What goes over the wire, of a request to a method that takes `kind`.
pub(super) fn encode(
    request: DynamicRequest,
    kind: &MessageDescriptor,
    is_json: bool,
) -> Result<Bytes, Status> {
    let bad = |error: &str| {
        Reason::Undecodable.status(format!(
            "the request is not a {} in JSON: {error}",
            kind.full_name()
        ))
    };
    let message = match request.0 {
        RequestSource::Text(text) => {
            guarded(|| json::read(kind, text.as_bytes())).map_err(|error| bad(&error))?
        }
        RequestSource::Message(message) => message,
    };
    let name = message.descriptor().full_name().to_owned();
    if name != kind.full_name() {
        return Err(Status::invalid_argument(format!(
            "the request is a {name}, and the method takes a {}",
            kind.full_name()
        )));
    }
    match is_json {
        true => guarded(|| json::write(&message))
            .map(Bytes::from)
            .map_err(|error| bad(&error)),
        false => Ok(message.encode_to_vec().into()),
    }
}

/// What came over the wire, of a method that gives `kind`.
pub(super) fn decode(
    payload: Bytes,
    kind: &MessageDescriptor,
    is_json: bool,
) -> Result<Dynamic, Status> {
    let message = match is_json {
        true => guarded(|| json::read(kind, &payload)),
        false => guarded(|| {
            DynamicMessage::decode(kind.clone(), payload).map_err(|error| error.to_string())
        }),
    };
    message.map(Dynamic).map_err(|error| {
        Reason::Undecodable.status_with(
            Code::Internal,
            format!("the reply is not a {}: {error}", kind.full_name()),
        )
    })
}
