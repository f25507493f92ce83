//! `RequestHeaders`: the headers of a request, decoded.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;

use crate::context::ContextHeaders;
use crate::status::Status;
use crate::stream::StreamHeader;
use crate::wire;
use crate::wire::CancelToken;
use crate::wire::header::{MICRO_STREAM, find};

/// Headers of a request, decoded (docs/PROTOCOL.md, "A unary call" and "A streaming call"). `Content-Type`
/// is not among them: it is read first, since it decides in which format a refusal is written.
pub(crate) struct RequestHeaders {
    /// Time that the caller still waits, from `Micro-Timeout`.
    pub(crate) timeout: Option<Duration>,
    /// How long ago the call has expired, by `Micro-Expires`.
    pub(crate) expired: Option<Duration>,
    /// Metadata and trace, which the handler sees.
    pub(crate) context: ContextHeaders,
    /// Id of `Micro-Cancel`.
    pub(crate) cancel_id: Option<CancelToken>,
    /// `Micro-Stream`; absent on unary calls and calls by hand.
    pub(crate) stream: Option<StreamHeader>,
}

impl RequestHeaders {
    /// Decodes the headers of a request; most requests have none, which allocates nothing.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a header that breaks the protocol, `UNIMPLEMENTED` for a version of streams
    /// that is not known here.
    pub(crate) fn decode(headers: Option<&HeaderMap>) -> Result<Self, Status> {
        let Some(headers) = headers else {
            return Ok(Self {
                timeout: None,
                expired: None,
                context: ContextHeaders::default(),
                cancel_id: None,
                stream: None,
            });
        };
        let stream = find(headers, &MICRO_STREAM);
        let timeout = wire::decode_timeout(headers)?;
        let expired = wire::expired_since(headers, SystemTime::now())?;
        Ok(Self {
            timeout,
            expired,
            cancel_id: CancelToken::of_request(Some(headers), None),
            context: ContextHeaders::read(Some(headers))?.with_timeout(timeout.is_some()),
            stream: stream
                .map(|stream| StreamHeader::decode(stream.as_str()))
                .transpose()?,
        })
    }
}
