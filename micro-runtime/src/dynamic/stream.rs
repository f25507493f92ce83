//! The messages of streaming calls by a `DynamicClient`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use futures_util::stream::{Stream, StreamExt as _};
use prost_reflect::MessageDescriptor;

use crate::dynamic::message;
use crate::dynamic::message::{Dynamic, DynamicRequest};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::stream::{MessageReader, Sender};

/// The messages that the service sends; as [`Streaming`](crate::Streaming).
#[must_use = "a stream that is dropped is given up"]
pub struct DynamicStreaming {
    pub(super) reader: MessageReader,
    pub(super) kind: MessageDescriptor,
    pub(super) is_json: bool,
}

impl DynamicStreaming {
    /// The next message, or `None` once the service has ended in order.
    ///
    /// # Errors
    ///
    /// The status with which the service, or the bus, ended the stream.
    pub async fn message(&mut self) -> Result<Option<Dynamic>, Status> {
        self.next().await.transpose()
    }

    /// The only message, of a method that sends one.
    ///
    /// # Errors
    ///
    /// The status with which the call ended; `INTERNAL` if there are none or many.
    pub async fn reply(mut self) -> Result<Dynamic, Status> {
        let none = || Status::new(Code::Internal, "the server ended the call without a reply");
        let reply = self.message().await?.ok_or_else(none)?;
        match self.message().await? {
            None => Ok(reply),
            Some(_) => {
                let text = "the server sent more than one reply";
                Err(Status::new(Code::Internal, text))
            }
        }
    }

    /// The headers that the handler set before it returned its stream.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.reader.channel().headers()
    }

    /// What the handler added for the end; empty before.
    #[must_use]
    pub fn trailers(&self) -> Metadata {
        self.reader.channel().trailers()
    }
}

impl Stream for DynamicStreaming {
    type Item = Result<Dynamic, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let payload = match ready!(self.reader.poll_bytes(cx)) {
            Some(Ok(payload)) => payload,
            Some(Err(status)) => return Poll::Ready(Some(Err(status))),
            None => return Poll::Ready(None),
        };
        let message = message::decode(payload, &self.kind, self.is_json);
        let message = message.inspect_err(|status| self.reader.abort(status));
        Poll::Ready(Some(message))
    }
}

/// The caller's half that sends; as [`Sender`].
#[must_use = "a sender that is dropped cancels its call"]
pub struct DynamicSender {
    pub(super) sender: Sender<()>,
    pub(super) kind: MessageDescriptor,
    pub(super) is_json: bool,
}

impl DynamicSender {
    /// Sends a message; as [`Sender::send`].
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not one of the method's; the call goes on. Else the status with
    /// which the call ended.
    pub async fn send(&mut self, message: impl Into<DynamicRequest>) -> Result<(), Status> {
        let message = message::encode(message.into(), &self.kind, self.is_json)?;
        self.sender.send_encoded(message).await
    }

    /// Says that nothing more comes; the service may go on sending.
    ///
    /// # Errors
    ///
    /// The status with which the call has failed already.
    pub async fn finish(self) -> Result<(), Status> {
        self.sender.finish().await
    }
}

impl fmt::Debug for DynamicStreaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicStreaming").finish_non_exhaustive()
    }
}

impl fmt::Debug for DynamicSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicSender").finish_non_exhaustive()
    }
}
