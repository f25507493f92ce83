//! Messages, metadata, time and `Status` as NATS payloads and headers, and back. Pure.

use std::cell::RefCell;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes, BytesMut};
use prost::{Message as _, Name as _};
use prost_types::Any;

use crate::metadata;
use crate::metadata::Metadata;
use crate::percent::{percent_decode, percent_encode};
use crate::status::details::ErrorInfo;
use crate::status::{Code, Reason, Status};

/// What a unary caller waits who says nothing; a constant of wire version 1.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const MICRO_STATUS: HeaderName = HeaderName::from_static("Micro-Status");
const MICRO_TIMEOUT: HeaderName = HeaderName::from_static("Micro-Timeout");
const MICRO_EMPTY: HeaderName = HeaderName::from_static("Micro-Empty");
const SERVICE_ERROR: HeaderName = HeaderName::from_static("Nats-Service-Error");
const SERVICE_ERROR_CODE: HeaderName = HeaderName::from_static("Nats-Service-Error-Code");
const CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
const TRACE: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// The text in a header is for people and tools; the payload has all of it.
const ERROR_TEXT_LIMIT: usize = 512;
/// The service error code of a reply that does not fit into a NATS message.
const TOO_LARGE: u16 = 413;
/// Marks a detail as the runtime's own.
const DOMAIN: &str = "micro.v1";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
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

/// Writes a failure: the headers that every client reads, and `google.rpc.Status`.
pub(crate) fn encode_status(status: &Status) -> (HeaderMap, Bytes) {
    let error_code = match status.reason() {
        Some(Reason::TooLarge) => TOO_LARGE,
        _ => status.code().service_error_code(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(MICRO_STATUS, HeaderValue::from(status.code() as u64));
    headers.insert(SERVICE_ERROR_CODE, HeaderValue::from(u64::from(error_code)));
    append(
        &mut headers,
        SERVICE_ERROR,
        &percent_encode(status.message(), ERROR_TEXT_LIMIT),
    );
    (headers, encode(&RpcStatus::new(status)))
}

impl RpcStatus {
    pub(crate) fn new(status: &Status) -> Self {
        Self {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: status
                .reason()
                .map(error_info)
                .into_iter()
                .chain(status.details().iter().cloned())
                .collect(),
        }
    }

    /// The failure that it says; `None` for success.
    pub(crate) fn into_status(self) -> Option<Status> {
        if self.code == 0 {
            return None;
        }
        let code = Code::from_number(self.code);
        let (own, details) = self
            .details
            .into_iter()
            .partition::<Vec<_>, _>(|detail| reason_of(detail).is_some());
        Some(
            Status::new(code.unwrap_or(Code::Unknown), self.message)
                .with_details(details)
                .with_reason(own.first().and_then(reason_of)),
        )
    }
}

/// Reads a failure; `None` when the headers say that the reply is a success.
pub(crate) fn decode_status(headers: &HeaderMap, payload: &Bytes) -> Option<Status> {
    let number = |name| headers.get(name)?.as_str().trim().parse::<u16>().ok();
    let has_code = headers.get(SERVICE_ERROR_CODE).is_some();
    let code = match (headers.get(MICRO_STATUS), has_code) {
        (None, false) => return None,
        (Some(_), _) => match number(MICRO_STATUS) {
            Some(0) => return None,
            number => number
                .and_then(|number| Code::from_number(number.into()))
                .unwrap_or(Code::Unknown),
        },
        (None, true) => match number(SERVICE_ERROR_CODE) {
            Some(200) => return None,
            number => number.map_or(Code::Unknown, Code::from_service_error_code),
        },
    };
    let text = || {
        headers
            .get(SERVICE_ERROR)
            .map(|text| percent_decode(text.as_str()))
            .unwrap_or_default()
    };
    // The payload counts only where it is what this protocol writes: a peer that knows ADR-32
    // alone may put anything there.
    let ours = || {
        let body = RpcStatus::decode(payload.clone()).ok()?;
        (body.code == code as i32).then_some(body)
    };
    match ours().and_then(RpcStatus::into_status) {
        Some(status) => Some(status),
        None => Some(Status::new(code, text())),
    }
}

/// Marks a message of a stream by hand that has no bytes, so that it is not taken for the end.
pub(crate) fn encode_empty() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MICRO_EMPTY, HeaderValue::from(1));
    headers
}

/// Writes the end of a stream by hand.
pub(crate) fn encode_end(result: &Result<(), Status>) -> HeaderMap {
    match result {
        Ok(()) => {
            let mut headers = HeaderMap::new();
            headers.insert(MICRO_STATUS, HeaderValue::from(0));
            headers
        }
        Err(status) => encode_status(status).0,
    }
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

/// Refuses a request in a format that this peer does not read.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get(CONTENT_TYPE) {
        None => Ok(()),
        Some(value) if is_protobuf(value.as_str()) => Ok(()),
        Some(value) => Err(Status::from_runtime(
            Code::Unimplemented,
            Reason::ContentType,
            format!(
                "content type `{}` is not served; send protobuf, without the header",
                percent_encode(value.as_str(), 64)
            ),
        )),
    }
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
    for name in TRACE {
        if let Some(value) = headers.get(name.clone()) {
            trace
                .get_or_insert_with(HeaderMap::new)
                .insert(name, value.clone());
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

fn error_info(reason: Reason) -> Any {
    let info = ErrorInfo {
        reason: reason.name().to_owned(),
        domain: DOMAIN.to_owned(),
        ..ErrorInfo::default()
    };
    Any {
        type_url: ErrorInfo::type_url(),
        value: info.encode_to_vec(),
    }
}

fn reason_of(detail: &Any) -> Option<Reason> {
    let info = detail.to_msg::<ErrorInfo>().ok()?;
    (info.domain == DOMAIN).then_some(())?;
    Reason::from_name(&info.reason)
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
