//! `Dynamic` and `DynamicRequest`: messages whose type is known only at run time.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _};
use serde_json::Value;

use crate::decode::convert_own;
use crate::descriptor::MethodDescriptor;
use crate::json;
use crate::json::guarded;
use crate::status::{Code, Reason, Status};

/// A request for [`DynamicClient::call`](super::DynamicClient::call) and
/// [`DynamicSender::send`](super::DynamicSender::send).
///
/// It is made from canonical proto3 JSON, as text or as a [`serde_json::Value`], or from a
/// [`DynamicMessage`] of the method's own type. It is converted when the method is known; that is where
/// invalid JSON fails.
///
/// # Examples
///
/// ```
/// use micro_runtime::dynamic::DynamicRequest;
/// use serde_json::json;
///
/// let text = DynamicRequest::from(r#"{"name": "Ada"}"#);
/// let value = DynamicRequest::from(json!({ "name": "Ada" }));
/// ```
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

impl From<&String> for DynamicRequest {
    fn from(json: &String) -> Self {
        Self(RequestSource::Text(json.clone()))
    }
}

impl From<DynamicMessage> for DynamicRequest {
    fn from(message: DynamicMessage) -> Self {
        Self(RequestSource::Message(message))
    }
}

/// A message that a service sent, with the type that its schema gives it.
///
/// # Examples
///
/// ```no_run
/// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
/// let reply = greeter.call("SayHello", r#"{"name": "Ada"}"#).await?;
/// println!("{}", reply.text()?);
/// println!("{}", reply.json()?["message"]);
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq)]
pub struct Dynamic(DynamicMessage);

impl Dynamic {
    /// Returns the message as canonical proto3 JSON, with the fields in the order of their numbers.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it holds an `Any` whose type is not in the service's schema.
    pub fn text(&self) -> Result<String, Status> {
        let text = guarded(|| json::write(&self.0)).map_err(|error| self.not_json(&error))?;
        String::from_utf8(text).map_err(|error| self.not_json(&error.to_string()))
    }

    /// Returns the message as a JSON value.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn json(&self) -> Result<Value, Status> {
        let value = guarded(|| serde_json::to_value(&self.0).map_err(|error| error.to_string()));
        value.map_err(|error| self.not_json(&error))
    }

    /// Returns the message, to read single fields.
    #[must_use]
    pub fn message(&self) -> &DynamicMessage {
        &self.0
    }

    /// Returns the message by value.
    #[must_use]
    pub fn into_message(self) -> DynamicMessage {
        self.0
    }

    fn not_json(&self, error: &str) -> Status {
        let message_type = self.0.descriptor();
        let name = message_type.full_name();
        let text = format!("{name} cannot be written as JSON: {error}");
        Status::new(Code::Internal, text)
    }
}

impl fmt::Debug for Dynamic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Encodes a request of a method that takes `message_type`, in protobuf or JSON.
///
/// JSON is parsed and written again even if the wire format is JSON: the caller learns of a misspelt field
/// here, and the server receives canonical JSON whatever the caller wrote. A long request is encoded on a thread for
/// blocking work.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if the request is not a message of this type; `RESOURCE_EXHAUSTED` if it is too long in JSON.
pub(super) async fn encode(
    request: DynamicRequest,
    message_type: MessageDescriptor,
    method: &'static MethodDescriptor,
    is_json: bool,
) -> Result<Bytes, Status> {
    let len = match &request.0 {
        RequestSource::Text(text) => text.len(),
        RequestSource::Message(message) => message.encoded_len(),
    };
    let encode = move || encode_here(request, &message_type, is_json);
    let encoded = convert_own(len, encode).await?;
    if is_json {
        json::check_request_len(method, encoded.len())?;
    }
    Ok(encoded)
}

/// Encodes a request as [`encode`] does, on this thread.
fn encode_here(
    request: DynamicRequest,
    message_type: &MessageDescriptor,
    is_json: bool,
) -> Result<Bytes, Status> {
    let invalid = |error: &str| {
        let name = message_type.full_name();
        Reason::Undecodable.status(format!("the request is no {name} in JSON: {error}"))
    };
    let message = match request.0 {
        RequestSource::Text(text) => {
            let message = guarded(|| json::read(message_type, text.as_bytes()));
            message.map_err(|error| invalid(&error))?
        }
        RequestSource::Message(message) => message,
    };
    let name = message.descriptor().full_name().to_owned();
    if name != message_type.full_name() {
        return Err(Status::invalid_argument(format!(
            "the request is {name}, and the method takes {}",
            message_type.full_name()
        )));
    }
    match is_json {
        true => guarded(|| json::write(&message))
            .map(Bytes::from)
            .map_err(|error| invalid(&error)),
        false => Ok(message.encode_to_vec().into()),
    }
}

/// Decodes a reply of a method that returns `message_type`, from protobuf or JSON.
///
/// # Errors
///
/// `INTERNAL` if the payload is not a message of this type: the fault is the server's.
pub(super) fn decode(
    payload: Bytes,
    message_type: &MessageDescriptor,
    is_json: bool,
) -> Result<Dynamic, Status> {
    let message = match is_json {
        true => guarded(|| json::read(message_type, &payload)),
        false => guarded(|| {
            DynamicMessage::decode(message_type.clone(), payload).map_err(|error| error.to_string())
        }),
    };
    message.map(Dynamic).map_err(|error| {
        Reason::Undecodable.status_with(
            Code::Internal,
            format!("the reply is no {}: {error}", message_type.full_name()),
        )
    })
}
