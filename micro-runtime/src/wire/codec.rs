//! Encodes and decodes messages: the one place that knows the format of payloads.

use std::cell::RefCell;

use bytes::{Buf, Bytes, BytesMut};

use crate::status::{Code, Reason, Status};

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
        Reason::Undecodable.status(format!("the request is not a {name}: {error}"))
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
        Reason::Undecodable.status_with(
            Code::Internal,
            format!("the reply is not a {name}: {error}"),
        )
    })
}

/// Tells a reply from JetStream's acknowledgement of the request.
pub(crate) fn check_not_jetstream(payload: &[u8]) -> Result<(), Status> {
    if !is_jetstream_ack(payload) {
        return Ok(());
    }
    Err(Reason::NotAService.status(
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
