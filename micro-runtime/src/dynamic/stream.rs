//! `DynamicStreaming` and `DynamicSender`: the two halves of a streaming call by a `DynamicClient`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};
use prost_reflect::MessageDescriptor;

use crate::decode::convert;
use crate::descriptor::MethodDescriptor;
use crate::dynamic::message;
use crate::dynamic::message::{Dynamic, DynamicRequest};
use crate::execute::BoxFuture;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::stream::{MessageReader, Sender};

/// The messages that the service sends; the counterpart of [`Streaming`](crate::Streaming).
///
/// Dropping it before its end cancels the call.
///
/// # Examples
///
/// ```no_run
/// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
/// let mut numbers = greeter.call("Count", r#"{"to": 3}"#).stream().await?;
/// while let Some(number) = numbers.message().await? {
///     println!("{}", number.text()?);
/// }
/// # Ok(()) }
/// ```
#[must_use = "a stream that is dropped is given up"]
pub struct DynamicStreaming {
    pub(super) reader: MessageReader,
    pub(super) message_type: MessageDescriptor,
    pub(super) is_json: bool,
    /// A long message that was taken and is being decoded.
    pub(super) decoding: Option<BoxFuture<'static, Dynamic>>,
    /// Error that the stream has ended with, for each further [`message`](Self::message).
    pub(super) failure: Option<Status>,
}

impl DynamicStreaming {
    /// Returns the next message, or `None` once the service has ended the stream without an error.
    ///
    /// Cancel safe: no message is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// The status with which the service or the runtime ended the stream; `INTERNAL` if a message is not
    /// of the type in the schema. No messages follow, and each further call returns the error again.
    pub async fn message(&mut self) -> Result<Option<Dynamic>, Status> {
        match (self.next().await, &self.failure) {
            (Some(message), _) => message.map(Some),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Ok(None),
        }
    }

    /// Returns the only message, of a method that replies once.
    ///
    /// # Errors
    ///
    /// The status with which the call ended; `INTERNAL` if there is no reply or more than one.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
    /// let (mut numbers, reply) = greeter.call_streaming("Sum").open().await?;
    /// numbers.send(r#"{"value": 1}"#).await?;
    /// numbers.finish().await?;
    /// println!("{}", reply.reply().await?.text()?);
    /// # Ok(()) }
    /// ```
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

    /// Returns the headers that the handler set before it returned its stream. On a call with many
    /// requests they arrive with the first message at the latest; empty before.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.reader.channel().headers()
    }

    /// Returns the headers that the handler set after that; empty until the stream has ended.
    #[must_use]
    pub fn trailers(&self) -> Metadata {
        self.reader.channel().trailers()
    }

    /// Returns whether the service has begun to stop; as [`Streaming::is_stopping`](crate::Streaming::is_stopping).
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.reader.channel().is_stopping()
    }

    /// Returns a future that completes once the service has begun to stop; as
    /// [`Streaming::stopping`](crate::Streaming::stopping).
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.reader.shared_channel().stopping()
    }
}

impl DynamicStreaming {
    fn decode(&self, payload: Bytes) -> BoxFuture<'static, Dynamic> {
        let (message_type, is_json) = (self.message_type.clone(), self.is_json);
        let decode = move |_: Option<&_>, payload| message::decode(payload, &message_type, is_json);
        Box::pin(self.reader.within_deadline(convert(None, payload, decode)))
    }
}

impl Stream for DynamicStreaming {
    type Item = Result<Dynamic, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let mut decoding = match self.decoding.take() {
            Some(decoding) => decoding,
            None => match ready!(self.reader.poll_bytes(cx)) {
                Some(Ok(payload)) => self.decode(payload),
                Some(Err(status)) => Box::pin(async { Err(status) }),
                None => return Poll::Ready(None),
            },
        };
        let Poll::Ready(message) = decoding.as_mut().poll(cx) else {
            self.decoding = Some(decoding);
            return Poll::Pending;
        };
        if let Err(status) = &message {
            self.reader.abort(status);
            self.failure = Some(status.clone());
        }
        Poll::Ready(Some(message))
    }
}

/// The sending half of a call with many requests; the counterpart of [`Sender`].
///
/// Dropping it without [`finish`](Self::finish) cancels the call.
///
/// # Examples
///
/// ```no_run
/// # async fn run(greeter: micro_runtime::dynamic::DynamicClient) -> Result<(), micro_runtime::Status> {
/// let (mut requests, mut replies) = greeter.call_streaming("Chat").open().await?;
/// requests.send(r#"{"name": "Ada"}"#).await?;
/// requests.finish().await?;
/// # Ok(()) }
/// ```
#[must_use = "a sender that is dropped cancels its call"]
pub struct DynamicSender {
    pub(super) sender: Sender<()>,
    pub(super) message_type: MessageDescriptor,
    pub(super) is_json: bool,
    pub(super) method: &'static MethodDescriptor,
}

impl DynamicSender {
    /// Sends a message; waits while the flow-control window of the service is full, as [`Sender::send`]
    /// does.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not a message of the method's request type, and `RESOURCE_EXHAUSTED` if it is too
    /// long; the call goes on. Otherwise the status with which the call ended.
    pub async fn send(&mut self, message: impl Into<DynamicRequest>) -> Result<(), Status> {
        let message_type = self.message_type.clone();
        let encoding = message::encode(message.into(), message_type, self.method, self.is_json);
        let message = tokio::select! {
            biased;
            message = encoding => message?,
            // Sending fails with the status of the call.
            () = self.sender.closed() => Bytes::new(),
        };
        self.sender.send_encoded(message).await
    }

    /// Ends this direction after the messages that were sent; the service may go on sending.
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
