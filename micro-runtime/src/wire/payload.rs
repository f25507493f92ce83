//! Payloads of NATS messages that carry messages of users: how they are written last before they are
//! published, and read first after they have arrived. An encoding of whole payloads, as compression, plugs in
//! here and nowhere else.
//!
//! | payload | written by | read by |
//! |---|---|---|
//! | request | [`write_payload`] | [`read_request`] |
//! | reply, also each of a stream by hand | [`write_payload`], or [`as_plain_payload`] where it changes nothing | [`read_reply`] |
//! | frame of a stream | [`write_payload`], with [`PayloadFormat::of_frames`] | [`read_reply`] |
//! | event | [`write_payload`] | [`read_event`] |
//!
//! How one message becomes bytes is the matter of `codec`. Failures, records of discovery and requests to
//! JetStream do not pass here: tools read them as they are.

use std::fmt;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::status::Status;
use crate::wire::codec::{acknowledged_by, probably_acknowledged_by};
use crate::wire::content_type::{
    ContentType, check_reply, content_type, not_read, write_content_type,
};
use crate::wire::status::decode_status;

/// Format of a payload, as its headers announce it. A reply has the format of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadFormat {
    content_type: ContentType,
    /// Whether a reply may have any content type: the caller passes bytes on, whatever they are.
    takes_any_reply: bool,
}

impl PayloadFormat {
    pub(crate) const PROTOBUF: Self = Self {
        content_type: ContentType::Protobuf,
        takes_any_reply: false,
    };
    /// Format of events, which follow no request.
    pub(crate) const EVENT: Self = Self::PROTOBUF;
    #[cfg(feature = "json")]
    pub(crate) const JSON: Self = Self {
        content_type: ContentType::Json,
        takes_any_reply: false,
    };

    pub(crate) fn is_json(self) -> bool {
        self.content_type == ContentType::Json
    }

    /// Returns the same format for requests, whose replies may be of any.
    #[cfg(feature = "json")]
    pub(crate) fn taking_any_reply(mut self) -> Self {
        self.takes_any_reply = true;
        self
    }

    /// Returns the format of the frames of a call with this format: a frame is protobuf, whatever its entries are.
    pub(crate) fn of_frames(mut self) -> Self {
        self.content_type = ContentType::Protobuf;
        self
    }
}

/// Returns the payload in this format, and announces the format in the headers.
///
/// Plain protobuf, which is the default, needs no header and so no `HeaderMap`; the payload is returned as it is.
pub(crate) fn write_payload(
    headers: &mut Option<HeaderMap>,
    format: PayloadFormat,
    payload: Bytes,
) -> Bytes {
    write_content_type(headers, format.content_type);
    payload
}

/// Returns the payload in this format if that is the payload as it is, and needs no header.
#[inline]
pub(crate) fn as_plain_payload(format: PayloadFormat, payload: &Bytes) -> Option<&Bytes> {
    (format.content_type == ContentType::Protobuf).then_some(payload)
}

/// Returns the format and the payload of a request.
///
/// # Errors
///
/// `UNIMPLEMENTED` for a content type that is not known. Whether JSON is served is the decision of the service.
pub(crate) fn read_request(
    headers: Option<&HeaderMap>,
    payload: Bytes,
) -> Result<(PayloadFormat, Bytes), Status> {
    let format = PayloadFormat {
        content_type: content_type(headers)?,
        takes_any_reply: false,
    };
    Ok((format, payload))
}

/// Returns the payload of a reply to a request in this `format`, or of a frame; `what` names it in errors, as in "the
/// reply of a.B.C".
///
/// # Errors
///
/// The failure, if the headers are those of one; `INTERNAL` for a reply of another content type.
#[inline]
pub(crate) fn read_reply(
    headers: Option<&HeaderMap>,
    payload: Bytes,
    format: PayloadFormat,
    what: impl fmt::Display,
) -> Result<Bytes, Status> {
    if headers.is_none() && format.takes_any_reply {
        return check_raw_reply(payload);
    }
    if headers.is_none() && !format.is_json() {
        return Ok(payload);
    }
    if let Some(status) = headers.and_then(|headers| decode_status(headers, &payload)) {
        return Err(status);
    }
    if !format.takes_any_reply {
        check_reply(headers, format.content_type, what)
            .map_err(|status| acknowledged_by(&payload).unwrap_or(status))?;
    }
    Ok(payload)
}

/// Returns the reply of a call of bytes, which has no headers.
///
/// # Errors
///
/// `INTERNAL` for one with the form of JetStream's acknowledgment: no decoder shows that it is no reply.
fn check_raw_reply(payload: Bytes) -> Result<Bytes, Status> {
    match probably_acknowledged_by(&payload) {
        Some(status) => Err(status),
        None => Ok(payload),
    }
}

/// Returns the payload of an event.
///
/// # Errors
///
/// `UNIMPLEMENTED` for any content type but protobuf.
pub(crate) fn read_event(headers: Option<&HeaderMap>, payload: Bytes) -> Result<Bytes, Status> {
    match content_type(headers)? {
        ContentType::Protobuf => Ok(payload),
        ContentType::Json => Err(not_read(ContentType::Json)),
    }
}
