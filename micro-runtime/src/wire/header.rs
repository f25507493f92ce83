//! Names of all headers that this crate itself reads or writes, of the protocol (docs/PROTOCOL.md), of NATS, HTTP
//! and W3C, and the rule which names metadata may not use. Pure.
//!
//! Headers are written as they are spelt here, and read in any case ([`find`]): many clients of NATS and all HTTP
//! libraries change the case of names. A failure whose `Micro-Status` were overlooked would be a success.

use async_nats::{HeaderMap, HeaderName, HeaderValue};

// Requests and replies ("Failures", "A streaming call").

/// Time left for a call, in whole milliseconds, at least 1.
pub(crate) const MICRO_TIMEOUT: HeaderName = HeaderName::from_static("Micro-Timeout");
/// Time after which a call must not begin, in milliseconds since 1970.
pub(crate) const MICRO_EXPIRES: HeaderName = HeaderName::from_static("Micro-Expires");
/// Id by which the caller can cancel the call, where it cannot name it by its reply subject.
pub(crate) const MICRO_CANCEL: HeaderName = HeaderName::from_static("Micro-Cancel");
/// Options of a stream that a request opens, or that a reply offers.
pub(crate) const MICRO_STREAM: HeaderName = HeaderName::from_static("Micro-Stream");
/// gRPC code of a failure, as a number; 0 at the end of a stream by hand.
pub(crate) const MICRO_STATUS: HeaderName = HeaderName::from_static("Micro-Status");
/// Mark of an empty message of a stream by hand, whose end is an empty message, too.
pub(crate) const MICRO_EMPTY: HeaderName = HeaderName::from_static("Micro-Empty");
/// Id of the instance that replies to a call of all instances ("All instances at once").
pub(crate) const MICRO_INSTANCE: HeaderName = HeaderName::from_static("Micro-Instance");
/// Format of a payload; absent for protobuf ("JSON").
pub(crate) const CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
/// Text of a failure for tools of ADR-32, percent-encoded.
pub(crate) const SERVICE_ERROR: HeaderName = HeaderName::from_static("Nats-Service-Error");
/// Cause of a delete marker, a message that JetStream stores by itself for messages that it has removed.
const MARKER_REASON: HeaderName = HeaderName::from_static("Nats-Marker-Reason");
/// Code of a failure for tools of ADR-32, close to HTTP's.
pub(crate) const SERVICE_ERROR_CODE: HeaderName =
    HeaderName::from_static("Nats-Service-Error-Code");

// Traces (W3C Trace Context and W3C Baggage).

/// Span that a call belongs to.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// State of the vendors of tracing systems.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Names and values that an application passes along its trace.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// Headers that are forwarded with nested calls, and the maximum lengths of their values in bytes: 55 are those of a
/// `traceparent` of W3C's version 00, the others W3C's minimum of what is passed on.
pub(crate) static TRACE: [(HeaderName, usize); 3] =
    [(TRACEPARENT, 128), (TRACESTATE, 512), (BAGGAGE, 8192)];

// Stored events and dead letters ("Durable events", "Dead letters").

/// Headers of JetStream, and those that a dead letter has beside its event's own.
#[cfg(feature = "jetstream")]
pub(crate) mod stored {
    use async_nats::HeaderName;

    /// Id under which a stream stores an event once within its window of duplicates.
    pub(crate) const MESSAGE_ID: HeaderName = HeaderName::from_static("Nats-Msg-Id");
    /// Number of deliveries of a consumer, in its heartbeat.
    pub(crate) const LAST_CONSUMER: HeaderName = HeaderName::from_static("Nats-Last-Consumer");
    /// Sequence of the stream that a consumer has reached, in its heartbeat.
    pub(crate) const LAST_STREAM: HeaderName = HeaderName::from_static("Nats-Last-Stream");

    /// Stream that the event lies in.
    pub(crate) const DEAD_STREAM: HeaderName = HeaderName::from_static("Micro-Dead-Stream");
    /// Sequence of the event in that stream.
    pub(crate) const DEAD_SEQUENCE: HeaderName = HeaderName::from_static("Micro-Dead-Sequence");
    /// Subject of the event.
    pub(crate) const DEAD_SUBJECT: HeaderName = HeaderName::from_static("Micro-Dead-Subject");
    /// Time at which the event was stored, in milliseconds since 1970.
    pub(crate) const DEAD_TIME: HeaderName = HeaderName::from_static("Micro-Dead-Time");
    /// `Nats-Msg-Id` of the event, if it had one; the letter has an id of its own.
    pub(crate) const DEAD_ID: HeaderName = HeaderName::from_static("Micro-Dead-Id");
    /// Consumer that gave the event up.
    pub(crate) const DEAD_CONSUMER: HeaderName = HeaderName::from_static("Micro-Dead-Consumer");
    /// Number of deliveries after which the consumer gave it up.
    pub(crate) const DEAD_DELIVERIES: HeaderName = HeaderName::from_static("Micro-Dead-Deliveries");
    /// gRPC code of the last failure, as a number.
    pub(crate) const DEAD_CODE: HeaderName = HeaderName::from_static("Micro-Dead-Code");
    /// Header block of an event whose headers cannot be parsed, in base64.
    pub(crate) const DEAD_RAW_HEADERS: HeaderName =
        HeaderName::from_static("Micro-Dead-Raw-Headers");
    /// Text of the last failure, percent-encoded.
    pub(crate) const DEAD_REASON: HeaderName = HeaderName::from_static("Micro-Dead-Reason");
}

/// Prefixes of names that belong to this protocol and to NATS, in any case.
const RESERVED_PREFIXES: [&str; 2] = ["micro-", BROKER_PREFIX];
/// Prefix of names that belong to NATS.
const BROKER_PREFIX: &str = "nats-";
/// Names that have a meaning outside of this protocol, in any case.
pub(crate) const RESERVED_NAMES: [&str; 4] =
    ["content-type", "traceparent", "tracestate", "baggage"];

/// Returns whether metadata may not use this name, in any case (META-1).
///
/// This runs for every header that arrives, so it allocates nothing.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED_NAMES
        .iter()
        .any(|word| name.eq_ignore_ascii_case(word))
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| begins_with(name, prefix))
}

/// Returns whether NATS writes headers of this name, so that they do not go on to another subject.
#[cfg(feature = "jetstream")]
pub(crate) fn is_of_the_broker(name: &str) -> bool {
    begins_with(name, BROKER_PREFIX)
}

/// Returns whether a message with these headers goes on as a stream: a request that opens one (STREAM-1), or a reply
/// that offers one, as it does not fit into one NATS message (LARGE-3).
///
/// The reply slot and the caller must agree on this: the slot of such a reply stays reserved for the stream.
pub(crate) fn continues_as_stream(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| find(headers, &MICRO_STREAM).is_some())
}

/// Returns the cause of a delete marker of JetStream; `None` for the headers of any other message.
pub(crate) fn delete_marker(headers: Option<&HeaderMap>) -> Option<&str> {
    find(headers?, &MARKER_REASON).map(HeaderValue::as_str)
}

/// Adds a value beside those that the name has, unless it holds CR or LF: such a value would be two header
/// lines, and async-nats panics on it.
pub(crate) fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse::<HeaderValue>() {
        headers.append(name, value);
    }
}

/// Returns the first value of a header whose name may be written in any case. The spelling of this crate is tried
/// first, which is one lookup for peers built on it.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    headers.get(name.clone()).or_else(|| {
        let name: &str = name.as_ref();
        let is_same = |found: &str| found.eq_ignore_ascii_case(name);
        let (_, values) = headers.iter().find(|(found, _)| is_same(found.as_ref()))?;
        values.first()
    })
}

/// Returns all values of a header whose name may be written in any case, also in several at once.
pub(crate) fn find_all<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a HeaderValue> + use<'a> {
    let name = name.clone();
    let is_same = move |found: &str| {
        let name: &str = name.as_ref();
        found.eq_ignore_ascii_case(name)
    };
    let named = headers
        .iter()
        .filter(move |(found, _)| is_same(found.as_ref()));
    named.flat_map(|(_, values)| values)
}

/// Reads a number of a header: decimal digits and nothing else, neither a sign nor blanks.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

fn begins_with(name: &str, prefix: &str) -> bool {
    let head = name.get(..prefix.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}
