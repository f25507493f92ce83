//! Names of the headers that the protocol reserves, and how a header is added.

use async_nats::{HeaderMap, HeaderName, HeaderValue};

/// Time left for a call, in milliseconds.
pub(crate) const MICRO_TIMEOUT: HeaderName = HeaderName::from_static("Micro-Timeout");
/// Marks an empty message of a stream without frames.
pub(crate) const MICRO_EMPTY: HeaderName = HeaderName::from_static("Micro-Empty");
/// Opens a stream, or marks a message as a part of one.
pub(crate) const MICRO_STREAM: HeaderName = HeaderName::from_static("Micro-Stream");
/// Status code of a reply, as a number.
pub(crate) const MICRO_STATUS: HeaderName = HeaderName::from_static("Micro-Status");
/// Error text of ADR-32.
pub(crate) const SERVICE_ERROR: HeaderName = HeaderName::from_static("Nats-Service-Error");
/// Error code of ADR-32.
pub(crate) const SERVICE_ERROR_CODE: HeaderName =
    HeaderName::from_static("Nats-Service-Error-Code");
/// Format of a payload.
pub(crate) const CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
/// W3C trace context.
pub(crate) static TRACE: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// Adds a value that holds no CR and no LF; async-nats would panic on one that does.
pub(crate) fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse::<HeaderValue>() {
        headers.append(name, value);
    }
}
