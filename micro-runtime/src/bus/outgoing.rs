//! A message on its way out, and why it did not leave.

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

/// A message to be published.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) reply: Option<Subject>,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    /// How long the message is to NATS, at most.
    pub(super) fn size(&self) -> usize {
        // `NATS/1.0` and an empty line, and for each header a colon, a space and the line's end.
        let headers = self.headers.iter().flat_map(HeaderMap::iter);
        let headers = headers.flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values
                .iter()
                .map(move |value| name.len() + value.as_str().len() + 4)
        });
        12 + headers.sum::<usize>() + self.payload.len()
    }
}

/// Why a message did not leave.
pub(crate) enum PublishError {
    /// It is larger than the server takes; `max` bytes are allowed, headers included.
    TooLarge { max: usize },
    /// The connection is closed for good, or the subject is none.
    Failed(async_nats::PublishError),
}
