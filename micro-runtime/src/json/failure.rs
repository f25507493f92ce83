//! `google.rpc.Status` as JSON, and back.
//!
//! A detail is an `Any`, whose JSON depends on its type. A type that neither the service's schema nor
//! google/rpc/error_details.proto has becomes `{"@type": …, "value": <base64>}`, so that no detail is lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use prost_types::Any;
use serde_json::{Map, Value};

use crate::json::depth::check_depth;
use crate::json::details;
use crate::status::Status;

/// Types of `google.protobuf` whose JSON is not the object of their fields. In an `Any` it is a field `value`.
const SPECIAL: &[&str] = &[
    "Any",
    "Timestamp",
    "Duration",
    "FieldMask",
    "Struct",
    "Value",
    "ListValue",
    "Empty",
    "DoubleValue",
    "FloatValue",
    "Int64Value",
    "UInt64Value",
    "Int32Value",
    "UInt32Value",
    "BoolValue",
    "StringValue",
    "BytesValue",
];

/// Writes a failure. Types of details are looked up in `pool`, then among the standard ones.
///
/// The parts are joined as text to keep the order `code`, `message`, `details`, which people read.
pub(crate) fn write_failure(pool: &DescriptorPool, status: &Status, details: &[Any]) -> Bytes {
    let text = |value: Value| value.to_string();
    let mut parts = vec![format!("\"code\":{}", status.code() as i32)];
    if !status.message().is_empty() {
        parts.push(format!("\"message\":{}", text(status.message().into())));
    }
    if !details.is_empty() {
        let details = details.iter().map(|detail| write_detail(pool, detail));
        parts.push(format!("\"details\":{}", text(details.collect())));
    }
    format!("{{{}}}", parts.join(",")).into()
}

/// Reads code, text and the first `max_details` details of a failure; `None` if `json` is no failure. A detail that
/// cannot be read is left out.
pub(crate) fn read_failure(json: &[u8], max_details: usize) -> Option<(i32, String, Vec<Any>)> {
    let failure: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let code = failure.get("code")?.as_i64()?;
    let message = failure.get("message").and_then(Value::as_str);
    let details = failure.get("details").and_then(Value::as_array);
    let details = details.into_iter().flatten().take(max_details);
    let details = details.filter_map(read_detail);
    Some((
        i32::try_from(code).ok()?,
        message.unwrap_or_default().to_owned(),
        details.collect(),
    ))
}

/// Writes a detail, in base64 if its type is unknown, its bytes are not of that type, or it is nested too deep.
fn write_detail(pool: &DescriptorPool, detail: &Any) -> Value {
    let known = descriptor(pool, &detail.type_url)
        .or_else(|| descriptor(details::pool(), &detail.type_url))
        .and_then(|kind| {
            let is_special = is_special(&kind);
            let message = DynamicMessage::decode(kind, detail.value.as_slice()).ok()?;
            check_depth(&message).ok()?;
            Some((serde_json::to_value(message).ok()?, is_special))
        });
    let mut object = match known {
        Some((Value::Object(fields), false)) => fields,
        Some((value, _)) => Map::from_iter([("value".to_owned(), value)]),
        None => {
            let value = BASE64.encode(&detail.value).into();
            Map::from_iter([("value".to_owned(), value)])
        }
    };
    object.insert("@type".to_owned(), detail.type_url.clone().into());
    Value::Object(object)
}

/// Reads a detail; the client knows only the standard types.
fn read_detail(detail: &Value) -> Option<Any> {
    let mut object = detail.as_object()?.clone();
    let type_url = object.remove("@type")?.as_str()?.to_owned();
    let value = match descriptor(details::pool(), &type_url) {
        Some(kind) => {
            let json = match is_special(&kind) {
                true => object.remove("value")?,
                false => Value::Object(object),
            };
            DynamicMessage::deserialize(kind, json)
                .ok()?
                .encode_to_vec()
        }
        None => BASE64.decode(object.get("value")?.as_str()?).ok()?,
    };
    Some(Any { type_url, value })
}

/// Finds a type by the part of its URL after the last slash.
fn descriptor(pool: &DescriptorPool, type_url: &str) -> Option<MessageDescriptor> {
    let name = type_url.rsplit('/').next()?;
    pool.get_message_by_name(name)
}

fn is_special(kind: &MessageDescriptor) -> bool {
    kind.package_name() == "google.protobuf" && SPECIAL.contains(&kind.name())
}
