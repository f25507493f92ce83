//! Bounds how deep a message is nested that is written as JSON.
//!
//! The decoder of protobuf bounds the depth of one message, but an `Any` has another one as bytes, whose own depth is
//! counted anew. Each level that is written recurses and copies all levels below: bytes of a peer could exhaust the
//! stack, and take time that is quadratic in their length.

use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};

/// Maximum depth of messages within messages, also within those of `Any`; prost's own for one message.
const MAX_DEPTH: usize = 100;
/// Maximum number of messages `Any` within each other. Each is decoded anew for every one around it.
const MAX_ANY_DEPTH: usize = 16;

/// Numbers of levels that are left.
#[derive(Clone, Copy)]
struct DepthLeft {
    messages: usize,
    any: usize,
}

/// Checks that a message is not nested too deep to be written.
///
/// # Errors
///
/// The limit that it exceeds.
pub(super) fn check_depth(message: &DynamicMessage) -> Result<(), String> {
    let left = DepthLeft {
        messages: MAX_DEPTH,
        any: MAX_ANY_DEPTH,
    };
    match fits(message, left) {
        true => Ok(()),
        false => Err(format!(
            "it is nested deeper than {MAX_DEPTH} messages, or {MAX_ANY_DEPTH} messages `google.protobuf.Any`"
        )),
    }
}

fn fits(message: &DynamicMessage, mut left: DepthLeft) -> bool {
    if left.messages == 0 {
        return false;
    }
    left.messages -= 1;
    if message.descriptor().full_name() == "google.protobuf.Any" {
        if left.any == 0 {
            return false;
        }
        left.any -= 1;
        // One that cannot be read is written by none.
        return payload(message).is_none_or(|payload| fits(&payload, left));
    }
    message.fields().all(|(field, value)| match field.kind() {
        Kind::Message(_) => value_fits(value, left),
        _ => true,
    })
}

fn value_fits(value: &Value, left: DepthLeft) -> bool {
    match value {
        Value::Message(message) => fits(message, left),
        Value::List(list) => list.iter().all(|value| value_fits(value, left)),
        Value::Map(map) => map.values().all(|value| value_fits(value, left)),
        _ => true,
    }
}

/// Decodes the message in an `Any`; `None` if its type is unknown or its bytes are not of that type.
fn payload(any: &DynamicMessage) -> Option<DynamicMessage> {
    let (url, bytes) = (any.get_field_by_number(1)?, any.get_field_by_number(2)?);
    let name = url.as_str()?.rsplit('/').next()?;
    let kind = any.descriptor().parent_pool().get_message_by_name(name)?;
    DynamicMessage::decode(kind, bytes.as_bytes()?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::Any;

    use super::*;
    use crate::json::{details, write};

    /// Returns an `Any` with so many others within each other.
    fn nested(depth: usize) -> DynamicMessage {
        let type_url = "type.googleapis.com/google.protobuf.Any".to_owned();
        let empty = "type.googleapis.com/google.protobuf.Empty".to_owned();
        let mut any = Any {
            type_url: empty,
            value: Vec::new(),
        };
        for _ in 1..depth {
            any = Any {
                type_url: type_url.clone(),
                value: any.encode_to_vec(),
            };
        }
        let kind = details::pool().get_message_by_name("google.protobuf.Any");
        DynamicMessage::decode(kind.unwrap(), any.encode_to_vec().as_slice()).unwrap()
    }

    #[test]
    fn messages_that_are_nested_too_deep_are_not_written() {
        assert!(write(&nested(MAX_ANY_DEPTH)).is_ok());
        for depth in [MAX_ANY_DEPTH + 1, 4_000] {
            let error = write(&nested(depth)).unwrap_err();
            assert!(error.contains("nested deeper than"), "{error}");
        }
    }
}
