//! One message as JSON text, and back. What is wrong is said with field, line and column.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_path_to_error::Track;

/// Reads a message; nothing may be in the text that its descriptor does not know. serde_json ends
/// at a depth of 128.
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
pub(crate) fn write(message: &DynamicMessage) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    message
        .serialize_with_options(
            &mut serde_json::Serializer::new(&mut text),
            &SerializeOptions::new(),
        )
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// The error with the field that it is about.
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

/// Descriptors may be a peer's: whatever they make of a message, they take nobody down.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the service's schema contradicts itself".to_owned()))
}
