//! `Response`: the encoded reply of a call, on its way back through the layers.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::metadata::Metadata;
use crate::status::Status;
use crate::wire::ReceivedMetadata;

/// Future of a [`Response`].
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, Status>> + Send>>;

/// Encoded reply of a call, on its way back through the layers.
#[derive(Clone, Debug)]
pub struct Response {
    payload: Bytes,
    metadata: Metadata,
    /// Error of a caller that asks for the metadata, of which a malformed header was left out.
    flaw: Option<Status>,
}

impl Response {
    /// Makes a response, for a layer that replies itself, as a cache does. The payload must be the message that the
    /// method returns, in protobuf.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::Metadata;
    /// use micro_runtime::middleware::Response;
    ///
    /// let response = Response::new("\x0a\x03Ada".into(), Metadata::new());
    /// assert_eq!(response.payload().len(), 5);
    /// ```
    #[must_use]
    pub fn new(payload: Bytes, metadata: Metadata) -> Self {
        Self {
            payload,
            metadata,
            flaw: None,
        }
    }

    /// Makes a response of a reply that came from the wire.
    pub(crate) fn received(payload: Bytes, read: ReceivedMetadata) -> Self {
        Self {
            flaw: read.flaw,
            ..Self::new(payload, read.metadata)
        }
    }

    /// Returns the encoded message; empty if the call is a streaming one.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns the metadata of the reply.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the metadata of the reply, to add to it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Returns the metadata, as it was received and as layers have left it.
    pub(crate) fn reply_metadata(&self) -> ReceivedMetadata {
        ReceivedMetadata {
            metadata: self.metadata.clone(),
            flaw: self.flaw.clone(),
        }
    }

    pub(crate) fn into_parts(self) -> (Bytes, Metadata) {
        (self.payload, self.metadata)
    }
}
