//! Encoding and decoding of single messages: the one place that knows that they are protobuf.
//!
//! Everything that turns a message of a user into bytes, or bytes into one, comes by here: requests, replies,
//! entries of frames, events. `payload` is the step after, with the bytes of one NATS message as a whole.

use std::cell::RefCell;

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::status::{Code, Reason, Status};

/// Maximum length in bytes of a message that is written into the shared buffer. A longer one gets a buffer of
/// its own, so that a receiver in this process that keeps a slice of a message keeps little else alive.
const MAX_SHARED_LEN: usize = 1024;

/// Capacity of the shared buffer, in bytes.
const SHARED_CAPACITY: usize = 16 * 1024;

thread_local! {
    /// Buffer into which this thread writes small messages, one behind the other. A slice of it costs no
    /// allocation: not here, and not in the task of the connection, which clones it.
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(SHARED_CAPACITY));
}

/// Calls `write` with the shared buffer of this thread. It must split off what it writes, or clear it, and
/// must not encode a message meanwhile.
pub(crate) fn with_shared_buffer<T>(write: impl FnOnce(&mut BytesMut) -> T) -> T {
    BUFFER.with_borrow_mut(write)
}

/// Encodes a message.
pub(crate) fn encode(message: &impl prost::Message) -> Bytes {
    match message.encoded_len() {
        0 => Bytes::new(),
        length if length <= MAX_SHARED_LEN => with_shared_buffer(|buffer| {
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

/// Appends an encoded message to a frame, without a copy of its bytes.
pub(crate) fn encode_into(message: &impl prost::Message, frame: &mut BytesMut) {
    message.encode_raw(frame);
}

/// Decodes a request; `name` is the full name of its message, for the error.
///
/// # Errors
///
/// `INVALID_ARGUMENT`: the fault is the caller's.
pub(crate) fn decode_request<M: prost::Message + Default>(
    payload: impl Buf,
    name: &str,
) -> Result<M, Status> {
    M::decode(payload)
        .map_err(|error| Reason::Undecodable.status(format!("the request is no {name}: {error}")))
}

/// Decodes the reply of a unary call; `name` is the full name of its message, for the error.
///
/// # Errors
///
/// `INTERNAL`: the fault is the server's, or that of a JetStream stream which acknowledged the request.
pub(crate) fn decode_reply<M: prost::Message + Default>(
    payload: Bytes,
    name: &str,
) -> Result<M, Status> {
    // Before it is decoded: `{` begins a group of field 15, which decoders skip. With a name that ends the group an
    // acknowledgment is a message of defaults.
    if let Some(status) = acknowledged_by(&payload) {
        return Err(status);
    }
    decode_streamed_reply(payload, name)
}

/// Decodes a message of a reply stream; `name` is its full name, for the error.
///
/// # Errors
///
/// `INTERNAL`: the fault is the server's.
pub(crate) fn decode_streamed_reply<M: prost::Message + Default>(
    payload: impl Buf,
    name: &str,
) -> Result<M, Status> {
    M::decode(payload).map_err(|error| {
        Reason::Undecodable.status_with(Code::Internal, format!("the reply is no {name}: {error}"))
    })
}

/// Decodes an event; `name` is the full name of its message, for the error.
///
/// # Errors
///
/// `INVALID_ARGUMENT`: the fault is the publisher's.
pub(crate) fn decode_event<M: prost::Message + Default>(
    payload: Bytes,
    name: &str,
) -> Result<M, Status> {
    M::decode(payload)
        .map_err(|error| Reason::Undecodable.status(format!("the event is no {name}: {error}")))
}

/// Returns the failure of a call whose reply is JetStream's acknowledgment of the request: it sends one if a stream
/// captures the call subject (docs/PROTOCOL.md, CALL-8).
///
/// Only for a reply that must be protobuf, or could not be read otherwise: a service may return JSON of this form, and
/// then it is the reply.
#[inline]
pub(crate) fn acknowledged_by(payload: &[u8]) -> Option<Status> {
    match payload {
        [b'{', ..] => read_acknowledgment(payload),
        _ => None,
    }
}

/// Returns the failure of a call of bytes in any format, if its reply has the form of JetStream's acknowledgment and
/// no field besides. A service whose reply has this form cannot be told from a stream.
#[cold]
pub(crate) fn probably_acknowledged_by(payload: &[u8]) -> Option<Status> {
    let ExactAcknowledgment { stream, .. } = serde_json::from_slice(payload).ok()?;
    Some(Reason::NotAService.status(format!(
        "{}; a service whose own reply has this form replies with any header, or one more field, to be told from it",
        captured_by(&stream)
    )))
}

#[cold]
fn read_acknowledgment(payload: &[u8]) -> Option<Status> {
    let Acknowledgment { stream, .. } = serde_json::from_slice(payload).ok()?;
    Some(Reason::NotAService.status(captured_by(&stream)))
}

fn captured_by(stream: &str) -> String {
    format!(
        "the JetStream stream `{}` captures the call subject and acknowledged the request in place of a service; take the subject out of the stream",
        stream.escape_debug()
    )
}

/// JetStream's acknowledgment of a message that a stream has stored, or has no room for.
#[derive(Deserialize)]
struct Acknowledgment {
    stream: String,
    #[serde(rename = "seq")]
    _sequence: u64,
}

/// [`Acknowledgment`] with all fields that nats-server 2.11 to 2.14 writes, and without any other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExactAcknowledgment {
    stream: String,
    #[serde(rename = "seq")]
    _sequence: u64,
    #[serde(rename = "domain")]
    _domain: Option<IgnoredAny>,
    #[serde(rename = "duplicate")]
    _duplicate: Option<IgnoredAny>,
    /// Of a stream without room.
    #[serde(rename = "error")]
    _error: Option<IgnoredAny>,
    /// Of a counter.
    #[serde(rename = "val")]
    _value: Option<IgnoredAny>,
    /// Of an atomic batch.
    #[serde(rename = "batch")]
    _batch: Option<IgnoredAny>,
    #[serde(rename = "count")]
    _count: Option<IgnoredAny>,
}
