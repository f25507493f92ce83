//! `ReplyMetadata`: the headers and trailers that a handler sends with its reply.

use crate::metadata::Metadata;

/// Headers and trailers of one call that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct ReplyMetadata {
    /// Sent with the reply of a unary call, and before the first reply of a stream.
    pub(super) headers: Metadata,
    /// Sent with the reply of a unary call, and after the last reply of a stream.
    pub(super) trailers: Metadata,
}

impl ReplyMetadata {
    /// Takes the headers, once the handler of a stream has returned it.
    pub(super) fn take_headers(&mut self) -> Metadata {
        std::mem::take(&mut self.headers)
    }

    /// Takes everything that has not been sent, for the end of the call. Headers that were set after the start of a
    /// stream are among them.
    pub(super) fn take_rest(&mut self) -> Metadata {
        let Self { headers, trailers } = std::mem::take(self);
        headers.followed_by(trailers)
    }
}
