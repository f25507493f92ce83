//! Metadata as NATS headers, and back (docs/PROTOCOL.md, "Metadata and trace"). Values of names that end in `-bin`
//! are base64.

use std::borrow::Cow;

use async_nats::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::metadata;
use crate::metadata::Metadata;
use crate::status::{Code, Reason, Status};
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

/// Metadata of a reply. A header that breaks the rules is left out: the call succeeds all the same, unless its caller
/// asks for the metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedMetadata {
    pub(crate) metadata: Metadata,
    /// Error of the first header that was left out. It is not the fault of the caller, who wrote the request.
    pub(crate) flaw: Option<Status>,
}

/// Reads the metadata among the headers of a request or an event; others are skipped. Capitals in a name become small
/// letters, as names of metadata have none: HTTP libraries and other clients write `Tenant`.
///
/// # Errors
///
/// `INVALID_ARGUMENT` for a value that breaks the rules, `RESOURCE_EXHAUSTED` for more than 8 KiB.
pub(crate) fn decode_metadata(headers: &HeaderMap) -> Result<Metadata, Status> {
    let mut metadata = Metadata::new();
    decode_each(headers, &mut metadata, Err)?;
    Ok(metadata)
}

/// Reads the metadata among the headers of an event, as [`decode_metadata`]. A header that breaks the rules is left
/// out, and so is one for which the 8 KiB have no room: events come from publishers of all kinds, whose headers need
/// not be metadata. Returns besides how many values were left out; behind 32 of them the rest is, uncounted.
pub(crate) fn decode_event_metadata(headers: &HeaderMap) -> (Metadata, u32) {
    let mut metadata = Metadata::new();
    let mut malformed = 0;
    let count = |status: Status| {
        malformed += 1;
        match malformed as usize >= metadata::MAX_FLAWS {
            true => Err(status),
            false => Ok(()),
        }
    };
    // The error has been counted.
    let _ = decode_each(headers, &mut metadata, count);
    (metadata, malformed)
}

/// Reads the metadata among the headers of a reply, as [`decode_metadata`]; `method` is the full name of the method
/// that was called, for the error.
pub(crate) fn decode_reply_metadata(headers: Option<&HeaderMap>, method: &str) -> ReceivedMetadata {
    let mut read = ReceivedMetadata::default();
    let Some(headers) = headers else {
        return read;
    };
    let mut flaws = 0;
    let note = |status: Status| {
        flaws += 1;
        read.flaw.get_or_insert_with(|| {
            Reason::BadHeader.status_with(
                Code::Internal,
                format!(
                    "the reply of {method} has a malformed header: {}",
                    status.message()
                ),
            )
        });
        match flaws {
            metadata::MAX_FLAWS => Err(status),
            _ => Ok(()),
        }
    };
    // The error has been noted.
    let _ = decode_each(headers, &mut read.metadata, note);
    read
}

impl ReceivedMetadata {
    /// Returns the metadata, for a caller that asks for it.
    ///
    /// # Errors
    ///
    /// `INTERNAL` with [`Reason::BadHeader`] if a header was left out.
    pub(crate) fn complete(self) -> Result<Metadata, Status> {
        self.flaw.map_or(Ok(self.metadata), Err)
    }
}

/// Adds each header that is metadata, and passes what breaks the rules to `on_flaw`, which decides whether to go on.
fn decode_each(
    headers: &HeaderMap,
    metadata: &mut Metadata,
    mut on_flaw: impl FnMut(Status) -> Result<(), Status>,
) -> Result<(), Status> {
    for (name, values) in headers.iter() {
        let name = lowercase(name.as_ref());
        let name = name.as_ref();
        if !metadata::is_metadata(name) {
            continue;
        }
        for value in values {
            let added = match metadata::is_binary(name) {
                true => decode_base64(name, value.as_str())
                    .and_then(|value| metadata.append(name, value)),
                false => metadata.append(name, value.as_str()),
            };
            added.or_else(&mut on_flaw)?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::check_linear;

    #[test]
    fn many_headers_are_read_in_linear_time() {
        let one_name = |size: usize| {
            let mut headers = HeaderMap::new();
            (0..size).for_each(|_| headers.append("tenant", ""));
            headers
        };
        let many_names = |size: usize| {
            let mut headers = HeaderMap::new();
            (0..size).for_each(|number| headers.append(format!("A{number}"), "\u{e9}"));
            headers
        };
        // A reply is read to its end, whatever its headers are, and a request up to the first flaw.
        let read = |headers: HeaderMap| {
            let request = decode_metadata(&headers);
            let event = decode_event_metadata(&headers);
            (
                request,
                event,
                decode_reply_metadata(Some(&headers), "a.B.C"),
            )
        };
        check_linear(3_000, one_name, read);
        check_linear(3_000, many_names, read);
    }

    #[test]
    fn an_event_keeps_the_headers_that_are_metadata() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("tenant", "acme"),
            ("city", "Z\u{fc}rich"),
            ("tab", "a\tb"),
            ("hash-bin", "no base64"),
            ("Id", "7"),
            ("Nats-Msg-Id", "1"),
        ] {
            headers.insert(name, value);
        }
        let long = "x".repeat(9_000);
        headers.insert("long", &*long);
        let (metadata, malformed) = decode_event_metadata(&headers);
        let mut kept: Vec<_> = metadata.iter().collect();
        kept.sort_unstable();
        assert_eq!(kept, [("id", &b"7"[..]), ("tenant", &b"acme"[..])]);
        assert_eq!(malformed, 4);
    }
}
