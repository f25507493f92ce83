//! Reads a message of NATS as the context and the payload of an event.

use std::time::Instant;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::context::{Context, ContextHeaders, Origin};
use crate::descriptor::EventDescriptor;
use crate::event::event::Event;
use crate::status::Status;
use crate::wire;

/// Returns the context of an event of core NATS: subject, metadata, trace and deadline.
///
/// `prefix_len` is the length of the bus's prefix with its dot, in bytes. `reusable` is the context of an
/// earlier event, whose memory is used again if nothing else refers to it ([`Context::of_event`]).
///
/// # Errors
///
/// [`Reason::ContentType`](crate::Reason::ContentType) if the payload is not protobuf,
/// [`Reason::BadHeader`](crate::Reason::BadHeader) if a header is no valid metadata.
pub(crate) fn context(
    event: Option<&'static EventDescriptor>,
    subject: Subject,
    headers: Option<&HeaderMap>,
    prefix_len: usize,
    deadline: Option<Instant>,
    reusable: Option<Context>,
) -> Result<Context, Status> {
    wire::read_event(headers, Bytes::new())?;
    let headers = ContextHeaders::read(headers)?;
    let origin = Origin {
        event,
        subject,
        prefix: prefix_len,
    };
    Ok(Context::of_event(origin, headers, deadline, reusable))
}

/// Decodes an event from its payload. Fields are read from the payload only, never from the subject
/// (docs/PROTOCOL.md, "Events").
///
/// # Errors
///
/// [`Reason::Undecodable`](crate::Reason::Undecodable) with the event's name.
pub(crate) fn decode<E: Event>(payload: Bytes) -> Result<E, Status> {
    wire::decode_event(payload, E::DESCRIPTOR.full_name)
}
