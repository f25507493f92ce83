//! Reads a message of NATS as an event with its context.

use std::time::Instant;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::context::{Context, ContextHeaders, Origin};
use crate::descriptor::EventDescriptor;
use crate::event::event::Event;
use crate::status::Status;
use crate::wire;

/// What a handler knows of an event besides the event; see [`Context::of_event`] for `spare`.
pub(crate) fn context(
    event: Option<&'static EventDescriptor>,
    subject: Subject,
    headers: Option<&HeaderMap>,
    prefix: usize,
    deadline: Option<Instant>,
    spare: Option<Context>,
) -> Result<Context, Status> {
    wire::read_event(headers, Bytes::new())?;
    let headers = ContextHeaders::read(headers)?;
    let origin = Origin {
        event,
        subject,
        prefix,
    };
    Ok(Context::of_event(origin, headers, deadline, spare))
}

/// Reads an event.
pub(crate) fn decode<E: Event>(payload: Bytes) -> Result<E, Status> {
    wire::decode_event(payload, E::DESCRIPTOR.full_name)
}
