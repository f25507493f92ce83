//! `Streaming`, `Sender` and `ReplyStream`: the many messages of one direction of a call.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use futures_util::stream::{Stream, StreamExt as _};

use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::stream::channel::Channel;
use crate::stream::frame_sharing::EncodedMessage;
use crate::stream::machine::dropped;
use crate::stream::message_reader::MessageReader;

/// Above this a message is encoded before its stream is locked, so that nobody waits for the encoder.
const MAX_LEN_ENCODED_UNDER_LOCK: usize = 1024;

/// The messages that the other side sends, one after the other.
///
/// Dropping a client's `Streaming` before its end cancels the call. A handler that drops its own only
/// says that it wants no more messages.
///
/// # Examples
///
/// A handler that takes a stream is tested without a bus:
///
/// ```
/// use micro_runtime::{Status, Streaming};
///
/// async fn sum(mut numbers: Streaming<u32>) -> Result<u32, Status> {
///     let mut sum = 0;
///     while let Some(number) = numbers.message().await? {
///         sum += number;
///     }
///     Ok(sum)
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// assert_eq!(sum(Streaming::from_iter([1, 2, 3])).await?, 6);
/// # Ok::<(), Status>(())
/// # }).unwrap();
/// ```
#[must_use = "a stream that is dropped is lent up"]
pub struct Streaming<M>(Source<M>);

enum Source<M> {
    Given(Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>),
    Received {
        reader: MessageReader,
        read: fn(EncodedMessage<'_>, &'static str) -> Result<M, Status>,
        /// The message's full name.
        name: &'static str,
    },
}

impl<M> Streaming<M> {
    /// Reads what arrives on a stream; `read` makes messages of it.
    pub(crate) fn received(
        reader: MessageReader,
        read: fn(EncodedMessage<'_>, &'static str) -> Result<M, Status>,
        name: &'static str,
    ) -> Self {
        Self(Source::Received { reader, read, name })
    }

    /// The next message, or `None` once the other side has ended in order.
    ///
    /// # Errors
    ///
    /// The status with which the other side, or the bus, ended the stream. An end that nobody
    /// declared is an error too, never a silent `None`.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        self.next().await.transpose()
    }

    /// The headers that the handler set before it returned its stream. They are there once a
    /// server-streaming call was awaited; on a bidirectional call they arrive at the latest with the
    /// first message. Empty before, and on a stream that a test made.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        match &self.0 {
            Source::Given(_) => Metadata::new(),
            Source::Received { reader, .. } => reader.channel().headers(),
        }
    }

    /// The headers that the handler set after that. They are there once the stream has ended.
    #[must_use]
    pub fn trailers(&self) -> Metadata {
        match &self.0 {
            Source::Given(_) => Metadata::new(),
            Source::Received { reader, .. } => reader.channel().trailers(),
        }
    }

    /// Makes a stream out of any other, to call a handler from a unit test.
    pub fn from_stream(stream: impl Stream<Item = Result<M, Status>> + Send + 'static) -> Self {
        Self(Source::Given(Box::pin(stream)))
    }
}

impl<M: Send + 'static> FromIterator<M> for Streaming<M> {
    fn from_iter<I: IntoIterator<Item = M>>(messages: I) -> Self {
        let messages = messages.into_iter().collect::<Vec<_>>();
        Self::from_stream(futures_util::stream::iter(messages).map(Ok))
    }
}

impl<M> Stream for Streaming<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Source::Given(stream) => stream.as_mut().poll_next(cx),
            Source::Received { reader, read, name } => {
                let (read, name) = (*read, *name);
                let status = match ready!(reader.poll_next(cx, |message| read(message, name))) {
                    Some(Ok(Ok(message))) => return Poll::Ready(Some(Ok(message))),
                    None => return Poll::Ready(None),
                    Some(Err(status) | Ok(Err(status))) => status,
                };
                reader.abort(&status);
                Poll::Ready(Some(Err(status)))
            }
        }
    }
}

impl<M> fmt::Debug for Streaming<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").finish_non_exhaustive()
    }
}

/// The caller's half of a bidirectional call that sends.
///
/// Dropping it before [`finish`](Self::finish) cancels the call: what was sent so far must not look
/// complete.
#[must_use = "a sender that is dropped cancels its call"]
pub struct Sender<M> {
    channel: Arc<Channel>,
    is_finished: bool,
    messages: std::marker::PhantomData<fn(M)>,
}

impl<M> Sender<M> {
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            is_finished: false,
            messages: std::marker::PhantomData,
        }
    }

    /// Sends a message. Waits while the server has as much as it wants and has not taken it; what was
    /// sent may be under way still when this returns. Nothing is sent if the future is dropped.
    ///
    /// # Errors
    ///
    /// The status with which the call ended; `CANCELLED` when the server ended it in order and takes
    /// no more.
    pub async fn send(&mut self, message: M) -> Result<(), Status>
    where
        M: prost::Message,
    {
        let length = message.encoded_len();
        let mut encoded =
            (length > MAX_LEN_ENCODED_UNDER_LOCK).then(|| message.encode_to_vec().into());
        poll_fn(|cx| self.channel.poll_send(cx, &message, length, &mut encoded)).await
    }

    /// Sends a message that is encoded already; as [`send`](Self::send).
    #[cfg(feature = "json")]
    pub(crate) async fn send_encoded(&mut self, message: bytes::Bytes) -> Result<(), Status> {
        let length = message.len();
        let mut encoded = Some(message);
        poll_fn(|cx| self.channel.poll_send(cx, &(), length, &mut encoded)).await
    }

    /// Says that nothing more comes; the server may go on sending.
    ///
    /// # Errors
    ///
    /// The status with which the call has failed already.
    #[expect(
        clippy::unused_async,
        reason = "may wait for the end to be sent one day"
    )]
    pub async fn finish(mut self) -> Result<(), Status> {
        self.end()
    }

    /// Waits until the call has ended, in order or not: for a sender that has nothing to send for a
    /// while and wants to know at once.
    pub async fn closed(&self) {
        let _ = poll_fn(|cx| self.channel.poll_ended(cx)).await;
    }

    fn end(&mut self) -> Result<(), Status> {
        self.is_finished = true;
        self.channel.finish(None, Metadata::new());
        match self.channel.inspect(|machine| machine.end().cloned()) {
            Some(Err(status)) => Err(status),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        if !self.is_finished {
            let status = dropped("the client dropped its sender before it was finished");
            self.channel.reset(status);
        }
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// A client-streaming call that is under way: many messages out, one reply back.
///
/// Dropping it before [`finish`](Self::finish) cancels the call.
#[must_use = "a call that is dropped is canceled"]
#[derive(Debug)]
pub struct ClientStream<Req, Rep> {
    sender: Sender<Req>,
    reply: Streaming<Rep>,
}

impl<Req, Rep> ClientStream<Req, Rep> {
    pub(crate) fn new(sender: Sender<Req>, reply: Streaming<Rep>) -> Self {
        Self { sender, reply }
    }

    /// Sends a message; as [`Sender::send`].
    ///
    /// # Errors
    ///
    /// The status with which the call ended. `CANCELLED` may mean that the handler has replied
    /// already: [`finish`](Self::finish) tells.
    pub async fn send(&mut self, message: Req) -> Result<(), Status>
    where
        Req: prost::Message,
    {
        self.sender.send(message).await
    }

    /// Waits until the call has ended; as [`Sender::closed`].
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Says that nothing more comes, and waits for the reply.
    ///
    /// # Errors
    ///
    /// The status with which the call ended.
    pub async fn finish(self) -> Result<Rep, Status> {
        Ok(self.finish_with_metadata().await?.0)
    }

    /// Says that nothing more comes, and waits for the reply and the headers that came with it.
    ///
    /// # Errors
    ///
    /// The status with which the call ended.
    pub async fn finish_with_metadata(mut self) -> Result<(Rep, Metadata), Status> {
        self.sender.end()?;
        let none = || Status::new(Code::Internal, "the server ended the call without a reply");
        let reply = self.reply.message().await?.ok_or_else(none)?;
        if self.reply.message().await?.is_some() {
            let text = "the server sent more than one reply";
            return Err(Status::new(Code::Internal, text));
        }
        let mut metadata = self.reply.metadata();
        for (name, value) in self.reply.trailers().iter() {
            metadata.append(name, value)?;
        }
        Ok((reply, metadata))
    }
}

/// What a handler of a streaming method returns: any stream of `Result<M, Status>` that is `Send`
/// and borrows nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reply stream of `{M}`",
    label = "expected a stream of `Result<{M}, Status>`",
    note = "this method is declared `returns (stream …)`: return something that implements `Stream<Item = Result<{M}, Status>> + Send + 'static`",
    note = "a stream of plain messages becomes one with `.map(Ok)`"
)]
pub trait ReplyStream<M>: Stream<Item = Result<M, Status>> + Send + 'static {}

impl<M, S: Stream<Item = Result<M, Status>> + Send + 'static> ReplyStream<M> for S {}
