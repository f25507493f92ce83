//! Messages, metadata, time and `Status` as NATS payloads and headers, and back. Pure.

mod failure;

use std::cell::RefCell;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes, BytesMut};

use crate::metadata;
use crate::metadata::Metadata;
use crate::percent::percent_encode;
use crate::status::{Code, Reason, Status};

pub(crate) use failure::{
    RpcStatus, decode_status, encode_end, encode_status, encode_status_in_json,
};

/// What a unary caller waits who says nothing; a constant of wire version 1.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const MICRO_TIMEOUT: HeaderName = HeaderName::from_static("Micro-Timeout");
const MICRO_EMPTY: HeaderName = HeaderName::from_static("Micro-Empty");
const JSON: &str = "application/json";
const CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
static TRACE: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// In what a peer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    Protobuf,
    Json,
}

/// Messages up to this size share a buffer; a larger one gets its own, so that whoever keeps a slice
/// of a message keeps little else alive.
const SHARED_UP_TO: usize = 1024;
const SHARED_BUFFER: usize = 16 * 1024;

thread_local! {
    /// Where this thread writes small messages, one behind the other. A slice of it costs no
    /// allocation, neither here nor in the connection's task, which clones it.
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(SHARED_BUFFER));
}

/// Lends the buffer of this thread. What is written is to be split off.
pub(crate) fn with_shared_buffer<T>(write: impl FnOnce(&mut BytesMut) -> T) -> T {
    BUFFER.with_borrow_mut(write)
}

/// Writes a message.
pub(crate) fn encode(message: &impl prost::Message) -> Bytes {
    match message.encoded_len() {
        0 => Bytes::new(),
        length if length <= SHARED_UP_TO => with_shared_buffer(|buffer| {
            buffer.reserve(length);
            message.encode_raw(buffer);
            buffer.split().freeze()
        }),
        length => {
            let mut buffer = Vec::with_capacity(length);
            message.encode_raw(&mut buffer);
            buffer.into()
        }
    }
}

/// Reads a request; `name` is the message's full name.
pub(crate) fn decode_request<M: prost::Message + Default>(
    payload: impl Buf,
    name: &str,
) -> Result<M, Status> {
    M::decode(payload).map_err(|error| {
        Status::from_runtime(
            Code::InvalidArgument,
            Reason::Undecodable,
            format!("the request is not a {name}: {error}"),
        )
    })
}

/// Reads a reply; `name` is the message's full name.
pub(crate) fn decode_reply<M: prost::Message + Default>(
    payload: Bytes,
    name: &str,
) -> Result<M, Status> {
    check_not_jetstream(&payload)?;
    decode_reply_from(payload, name)
}

/// Reads a message of a server's stream; `name` is its full name.
pub(crate) fn decode_reply_from<M: prost::Message + Default>(
    payload: impl Buf,
    name: &str,
) -> Result<M, Status> {
    M::decode(payload).map_err(|error| {
        Status::from_runtime(
            Code::Internal,
            Reason::Undecodable,
            format!("the reply is not a {name}: {error}"),
        )
    })
}

/// Marks a message of a stream by hand that has no bytes, so that it is not taken for the end.
pub(crate) fn encode_empty() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MICRO_EMPTY, HeaderValue::from(1));
    headers
}

/// Adds metadata to headers that may not exist yet.
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

/// Reads the metadata out of a peer's headers, and leaves the protocol's own there.
pub(crate) fn decode_metadata(headers: &HeaderMap) -> Result<Metadata, Status> {
    let mut metadata = Metadata::new();
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
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

fn decode_base64(name: &str, value: &str) -> Result<Vec<u8>, Status> {
    BASE64.decode(value).map_err(|error| {
        Status::from_runtime(
            Code::InvalidArgument,
            Reason::BadHeader,
            format!("header `{name}` is not base64 with padding: {error}"),
        )
    })
}

/// Says what is left for a call, in whole milliseconds, at least 1.
pub(crate) fn encode_timeout(headers: &mut Option<HeaderMap>, left: Duration) {
    let milliseconds = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    headers
        .get_or_insert_with(HeaderMap::new)
        .insert(MICRO_TIMEOUT, HeaderValue::from(milliseconds));
}

/// Reads what is left for a call, if the caller says so.
pub(crate) fn decode_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(MICRO_TIMEOUT) else {
        return Ok(None);
    };
    match value.as_str().parse::<u64>() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Some(Duration::from_millis(milliseconds))),
        _ => Err(Status::from_runtime(
            Code::InvalidArgument,
            Reason::BadHeader,
            format!(
                "`Micro-Timeout: {}` is not a count of milliseconds of at least 1",
                percent_encode(value.as_str(), 64)
            ),
        )),
    }
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
    Status::from_runtime(
        Code::Unimplemented,
        Reason::ContentType,
        format!(
            "content type `{}` is not served; send protobuf, without the header",
            percent_encode(content_type, 64)
        ),
    )
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

/// The W3C trace headers of a request, to be forwarded with nested calls.
pub(crate) fn trace_headers(headers: &HeaderMap) -> Option<HeaderMap> {
    let mut trace = None;
    // To look through a few headers takes less than to look up one.
    for (name, values) in headers.iter().filter(|(name, _)| TRACE.contains(name)) {
        if let Some(value) = values.first() {
            trace
                .get_or_insert_with(HeaderMap::new)
                .insert(name.clone(), value.clone());
        }
    }
    trace
}

/// Adds a context's trace headers to a nested call.
pub(crate) fn forward_trace(headers: &mut Option<HeaderMap>, trace: Option<&HeaderMap>) {
    for (name, values) in trace.iter().flat_map(|trace| trace.iter()) {
        for value in values {
            headers
                .get_or_insert_with(HeaderMap::new)
                .append(name.clone(), value.clone());
        }
    }
}

/// Adds a value that is known to hold no CR and no LF; anything else would panic in async-nats.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse::<HeaderValue>() {
        headers.append(name, value);
    }
}

/// Tells a reply from JetStream's acknowledgement of the request.
pub(crate) fn check_not_jetstream(payload: &[u8]) -> Result<(), Status> {
    if !is_jetstream_ack(payload) {
        return Ok(());
    }
    Err(Status::from_runtime(
        Code::Internal,
        Reason::NotAService,
        "a JetStream stream captures the call subject and acknowledged the request; take the subject out of the stream",
    ))
}

/// What JetStream answers to a publisher: `{"stream":…,"seq":…}`.
fn is_jetstream_ack(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"stream\":")
        && payload
            .windows(6)
            .any(|window| window.starts_with(b"\"seq\":"))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
