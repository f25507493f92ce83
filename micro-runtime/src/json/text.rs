//! One message as JSON text, and back. Errors name the field, the line and the column.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_path_to_error::Track;

use crate::json::depth::check_depth;

/// Reads a message of type `kind` from one JSON value.
///
/// Unknown fields are errors, because a misspelt name would otherwise be ignored silently. The depth is limited to 128
/// by serde_json, so that hostile input cannot exhaust the stack.
///
/// # Errors
///
/// The path of the field, if it is known, and the reason with line and column.
pub(crate) fn read(kind: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(kind.clone(), tracked, &options)
        .map_err(|error| at(&track.path().to_string(), &error))?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(message)
}

/// Writes a message as canonical proto3 JSON.
///
/// # Errors
///
/// The reason, which is an `Any` of an unknown type or one whose bytes are not of its type, or too many levels.
pub(crate) fn write(message: &DynamicMessage) -> Result<Vec<u8>, String> {
    check_depth(message)?;
    let mut text = Vec::new();
    message
        .serialize_with_options(
            &mut serde_json::Serializer::new(&mut text),
            &SerializeOptions::new(),
        )
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// Returns the text of an error with the path of its field before it.
fn at(path: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let parent = if path == "." { "" } else { path };
    // The path to a field that is unknown ends above it.
    let unknown = text
        .strip_prefix("unrecognized field name '")
        .and_then(|rest| Some(rest.split_once("' at line ")?.0));
    match (parent, unknown) {
        ("", None) => text,
        ("", Some(unknown)) => format!("`{unknown}`: {text}"),
        (parent, None) => format!("`{parent}`: {text}"),
        (parent, Some(unknown)) => format!("`{parent}.{unknown}`: {text}"),
    }
}

/// Runs `work`, and turns a panic into an error: prost-reflect panics on some descriptors that contradict
/// themselves, and those of a peer may do so on purpose.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the service's schema contradicts itself".to_owned()))
}
