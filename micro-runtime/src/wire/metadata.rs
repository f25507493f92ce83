//! Metadata as NATS headers, and back (docs/PROTOCOL.md, "A unary call"). Values of names that end in `-bin`
//! are base64.

use std::borrow::Cow;

use async_nats::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::metadata;
use crate::metadata::Metadata;
use crate::status::{Reason, Status};
use crate::wire::header::append;

/// Adds metadata to headers. Without metadata it makes no `HeaderMap`.
pub(crate) fn encode_metadata(headers: &mut Option<HeaderMap>, metadata: &Metadata) {
    for (name, value) in metadata.iter() {
        let Ok(key) = name.parse::<HeaderName>() else {
            continue;
        };
        let headers = headers.get_or_insert_with(HeaderMap::new);
        if metadata::is_binary(name) {
            append(headers, key, &BASE64.encode(value));
        } else {
            append(headers, key, &String::from_utf8_lossy(value));
        }
    }
}

/// Reads the metadata among the headers of a peer; others are skipped. Capitals in a name become small letters, as
/// names of metadata have none: HTTP libraries and other clients write `Tenant`.
///
/// # Errors
///
/// `INVALID_ARGUMENT` for a value that breaks the rules, `RESOURCE_EXHAUSTED` for more than 8 KiB.
pub(crate) fn decode_metadata(headers: &HeaderMap) -> Result<Metadata, Status> {
    let mut metadata = Metadata::new();
    for (name, values) in headers.iter() {
        let name = lowercase(name.as_ref());
        let name = name.as_ref();
        if !metadata::is_metadata(name) {
            continue;
        }
        for value in values {
            if metadata::is_binary(name) {
                metadata.append(name, decode_base64(name, value.as_str())?)?;
            } else {
                metadata.append(name, value.as_str())?;
            }
        }
    }
    Ok(metadata)
}

fn lowercase(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

fn decode_base64(name: &str, value: &str) -> Result<Vec<u8>, Status> {
    BASE64.decode(value).map_err(|error| {
        Reason::BadHeader.status(format!(
            "header `{name}` is not base64 with padding: {error}"
        ))
    })
}
