//! The header `Content-Type`: what a payload's bytes are (docs/PROTOCOL.md, CALL-9).

use std::fmt;

use async_nats::{HeaderMap, HeaderValue};

use crate::status::{Code, Reason, Status};
use crate::wire::header::{CONTENT_TYPE, find};
use crate::wire::percent::percent_encode;

/// Value of the header for JSON.
const JSON: &str = "application/json";
/// Maximum length of a content type in an error message, in bytes, percent-encoded.
const MAX_QUOTED_LEN: usize = 64;

/// Content of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// The default, which has no header.
    #[default]
    Protobuf,
    /// Canonical proto3 JSON.
    Json,
}

/// Reads the content type of a payload. Protobuf may be named by the header, too, in any of its usual names.
///
/// # Errors
///
/// `UNIMPLEMENTED` for anything but protobuf and JSON in UTF-8.
pub(crate) fn content_type(headers: Option<&HeaderMap>) -> Result<ContentType, Status> {
    let value = headers.and_then(|headers| find(headers, &CONTENT_TYPE));
    parse(value).map_err(rejected)
}

/// Checks that a reply is of the content type in which its request was made. Its payload is not looked at: JSON may be
/// a valid protobuf message, and the other way round.
///
/// # Errors
///
/// `INTERNAL` with [`Reason::ContentType`], which names both; `what` is the reply, as in "the reply of a.B.C".
pub(super) fn check_reply(
    headers: Option<&HeaderMap>,
    expected: ContentType,
    what: impl fmt::Display,
) -> Result<(), Status> {
    let value = headers.and_then(|headers| find(headers, &CONTENT_TYPE));
    if parse(value) == Ok(expected) {
        return Ok(());
    }
    let found = match value {
        None => "no header `Content-Type`, which stands for protobuf".to_owned(),
        Some(value) => format!(
            "`Content-Type: {}`",
            percent_encode(value.as_str(), MAX_QUOTED_LEN)
        ),
    };
    let expected = match expected {
        ContentType::Protobuf => "protobuf: no such header, or `application/protobuf`",
        ContentType::Json => "`application/json`, the content type of the request",
    };
    Err(Reason::ContentType.status_with(
        Code::Internal,
        format!("{what} has {found}; expected {expected}"),
    ))
}

/// Returns the content type that the header states, or its value if it is not known.
fn parse(value: Option<&HeaderValue>) -> Result<ContentType, &str> {
    match value.map(HeaderValue::as_str) {
        None => Ok(ContentType::Protobuf),
        Some(value) if is_protobuf(value) => Ok(ContentType::Protobuf),
        Some(value) if is_json(value) => Ok(ContentType::Json),
        Some(value) => Err(value),
    }
}

/// Sets the header for a payload with this content.
pub(super) fn write_content_type(headers: &mut Option<HeaderMap>, content_type: ContentType) {
    if content_type == ContentType::Json {
        headers
            .get_or_insert_with(HeaderMap::new)
            .insert(CONTENT_TYPE, HeaderValue::from(JSON));
    }
}

/// Returns the failure of a receiver that does not read a known content type.
pub(super) fn not_read(content_type: ContentType) -> Status {
    rejected(match content_type {
        ContentType::Protobuf => "application/protobuf",
        ContentType::Json => JSON,
    })
}

fn rejected(content_type: &str) -> Status {
    Reason::ContentType.status(format!(
        "content type `{}` is not served; send protobuf, without the header",
        percent_encode(content_type, MAX_QUOTED_LEN)
    ))
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
