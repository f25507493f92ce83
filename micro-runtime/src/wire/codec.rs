//! Encoding and decoding of single messages: the one place that knows that they are protobuf.
//!
//! Everything that turns a message of a user into bytes, or bytes into one, comes by here: requests, replies,
//! entries of frames, events. `payload` is the step after, with the bytes of one NATS message as a whole.

use std::cell::RefCell;

use bytes::{Buf, Bytes, BytesMut};

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
    M::decode(payload).map_err(|error| {
        Reason::Undecodable.status(format!("the request is not a {name}: {error}"))
    })
}

/// Decodes the reply of a unary call; `name` is the full name of its message, for the error.
///
/// # Errors
///
/// `INTERNAL`: the fault is the server's, or that of a stream which acknowledged the request.
pub(crate) fn decode_reply<M: prost::Message + Default>(
    payload: Bytes,
    name: &str,
) -> Result<M, Status> {
    check_not_jetstream(&payload)?;
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
        Reason::Undecodable.status_with(
            Code::Internal,
            format!("the reply is not a {name}: {error}"),
        )
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
        .map_err(|error| Reason::Undecodable.status(format!("the event is not a {name}: {error}")))
}

/// Checks that a reply is not JetStream's acknowledgment of the request, which it sends if a stream captures the call
/// subject (docs/PROTOCOL.md, "A unary call", rule 6).
///
/// # Errors
///
/// `INTERNAL`, with the advice to take the subject out of the stream.
pub(crate) fn check_not_jetstream(payload: &[u8]) -> Result<(), Status> {
    if !is_jetstream_ack(payload) {
        return Ok(());
    }
    Err(Reason::NotAService.status(
        "a JetStream stream captures the call subject and acknowledged the request; take the subject out of the stream",
    ))
}

/// Returns whether a payload has the form of an acknowledgment, `{"stream":…,"seq":…}`. No protobuf message
/// has: `{` would be a group of field 15, which has no end here.
fn is_jetstream_ack(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"stream\":")
        && payload
            .windows(6)
            .any(|window| window.starts_with(b"\"seq\":"))
}
