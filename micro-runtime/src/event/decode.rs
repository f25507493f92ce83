//! Reads a NATS message as the context and the payload of an event, or as the event.

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use tokio::time::Instant;

use crate::context::{Context, ContextHeaders, Origin, StopSignal};
use crate::descriptor::EventDescriptor;
use crate::event::event::Event;
use crate::status::Status;
use crate::wire;

/// Reads an event of core NATS: its context, which is subject, metadata, trace and deadline, and its payload.
///
/// `prefix_len` is the length of the bus's prefix with its dot, in bytes. `reusable` is the context of an
/// earlier event, whose memory is used again if nothing else refers to it ([`Context::of_event`]). `on_malformed` gets
/// the number of headers that were left out, if there are any.
///
/// # Errors
///
/// [`Reason::ContentType`](crate::Reason::ContentType) if the payload is not protobuf.
pub(crate) fn receive(
    event: &'static EventDescriptor,
    message: Message,
    prefix_len: usize,
    deadline: Option<Instant>,
    stop: Option<&StopSignal>,
    reusable: Option<Context>,
    on_malformed: impl FnOnce(u32),
) -> Result<(Context, Bytes), Status> {
    let headers = message.headers.as_ref();
    let payload = wire::read_event(headers, message.payload)?;
    let headers = ContextHeaders::read_accepted(headers);
    if headers.malformed() > 0 {
        on_malformed(headers.malformed());
    }
    let origin = Origin {
        event: Some(event),
        subject: message.subject,
        prefix: prefix_len,
    };
    let ctx = Context::of_event(origin, headers, deadline, stop, reusable);
    Ok((ctx, payload))
}

/// Decodes the event that a message carries, without its context.
///
/// # Errors
///
/// [`Reason::ContentType`](crate::Reason::ContentType) if the payload is not protobuf; those of [`decode`].
pub(crate) fn decode_message<E: Event>(
    headers: Option<&HeaderMap>,
    payload: Bytes,
) -> Result<E, Status> {
    decode(wire::read_event(headers, payload)?)
}

/// Decodes an event from its payload. Fields are read from the payload only, never from the subject
/// (docs/PROTOCOL.md, EVENT-5).
///
/// # Errors
///
/// [`Reason::Undecodable`](crate::Reason::Undecodable) with the event's name.
pub(crate) fn decode<E: Event>(payload: Bytes) -> Result<E, Status> {
    wire::decode_event(payload, E::DESCRIPTOR.full_name)
}
