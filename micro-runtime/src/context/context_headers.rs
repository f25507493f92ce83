//! `ContextHeaders`: the headers of a request or an event that its handler can see.

use async_nats::HeaderMap;

use crate::metadata::Metadata;
use crate::status::Status;
use crate::wire;

/// Headers of a request or an event that its handler can see.
///
/// A further header for handlers becomes a field here, with its name in `wire::header`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContextHeaders {
    pub(super) metadata: Metadata,
    /// W3C headers as they arrived, which nested calls forward.
    pub(super) trace: Option<HeaderMap>,
    /// Whether the caller has sent the time that it waits.
    pub(super) has_timeout: bool,
    /// Number of values of an event that are no metadata and were left out.
    pub(super) malformed: u32,
}

impl ContextHeaders {
    /// Reads the headers of a message.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` or `RESOURCE_EXHAUSTED` with the reason `BAD_HEADER` for metadata that breaks the rules.
    pub(crate) fn read(headers: Option<&HeaderMap>) -> Result<Self, Status> {
        let Some(headers) = headers else {
            return Ok(Self::default());
        };
        Ok(Self {
            metadata: wire::decode_metadata(headers)?,
            trace: wire::trace_headers(headers),
            ..Self::default()
        })
    }

    /// Adds whether the caller of a call has sent the time that it waits.
    pub(crate) fn with_timeout(mut self, is_sent: bool) -> Self {
        self.has_timeout = is_sent;
        self
    }

    /// Reads the headers of an event, of whichever kind, which is accepted whatever they are: what is no metadata is
    /// left out, and counted as [`malformed`](Self::malformed).
    pub(crate) fn read_accepted(headers: Option<&HeaderMap>) -> Self {
        let Some(headers) = headers else {
            return Self::default();
        };
        let (metadata, malformed) = wire::decode_event_metadata(headers);
        Self {
            metadata,
            trace: wire::trace_headers(headers),
            malformed,
            ..Self::default()
        }
    }

    /// Returns the number of values that were left out.
    pub(crate) fn malformed(&self) -> u32 {
        self.malformed
    }
}

impl From<Metadata> for ContextHeaders {
    fn from(metadata: Metadata) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }
}
