//! The format of a payload as the header `Content-Type`, and back.

use async_nats::{HeaderMap, HeaderValue};

use crate::status::{Reason, Status};
use crate::wire::header::CONTENT_TYPE;
use crate::wire::percent::percent_encode;

const JSON: &str = "application/json";

/// In what a peer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    Protobuf,
    Json,
}

/// Reads in what a peer writes; refuses what this peer does not read.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<ContentType, Status> {
    match headers.get(CONTENT_TYPE) {
        None => Ok(ContentType::Protobuf),
        Some(value) if is_protobuf(value.as_str()) => Ok(ContentType::Protobuf),
        Some(value) if is_json(value.as_str()) => Ok(ContentType::Json),
        Some(value) => Err(not_served(value.as_str())),
    }
}

/// Refuses what is not protobuf.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Status> {
    match content_type(headers)? {
        ContentType::Protobuf => Ok(()),
        ContentType::Json => Err(not_served(JSON)),
    }
}

fn not_served(content_type: &str) -> Status {
    Reason::ContentType.status(format!(
        "content type `{}` is not served; send protobuf, without the header",
        percent_encode(content_type, 64)
    ))
}

/// Says that a payload is JSON.
pub(crate) fn encode_json(headers: &mut Option<HeaderMap>) {
    headers
        .get_or_insert_with(HeaderMap::new)
        .insert(CONTENT_TYPE, HeaderValue::from(JSON));
}

fn is_json(content_type: &str) -> bool {
    let (kind, charset) = content_type.split_once(';').unwrap_or((content_type, ""));
    let charset = charset.trim();
    kind.trim().eq_ignore_ascii_case(JSON)
        && (charset.is_empty() || charset.eq_ignore_ascii_case("charset=utf-8"))
}

fn is_protobuf(content_type: &str) -> bool {
    matches!(
        content_type,
        "application/protobuf" | "application/x-protobuf" | "application/vnd.google.protobuf"
    )
}
