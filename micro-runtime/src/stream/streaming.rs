//! `Streaming`: the messages that the other side of a call sends.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use futures_util::stream::{Stream, StreamExt as _};

use crate::metadata::Metadata;
use crate::status::Status;
use crate::stream::decoding_reader::{DecodingReader, MessageDecoder};
use crate::stream::message_reader::MessageReader;

/// The messages that the other side of a call sends, one after the other.
///
/// A handler receives one for its requests, a caller one for its replies. It is also a [`Stream`] of
/// `Result<M, Status>`.
///
/// Dropping a client's `Streaming` before its end cancels the call. A handler that drops its own only gives up the rest
/// of the requests: they are discarded, and the call goes on.
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
#[must_use = "a stream that is dropped is given up"]
pub struct Streaming<M> {
    source: Source<M>,
    /// Error that the stream has ended with, for each further [`message`](Self::message).
    failure: Option<Status>,
}

enum Source<M> {
    /// A stream of a test, or of another call.
    Given(Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>),
    /// A stream of the bus.
    Received(Box<DecodingReader<M>>),
}

impl<M> Streaming<M> {
    /// Returns the messages of a stream of the bus.
    pub(crate) fn received(reader: MessageReader, decoder: MessageDecoder<M>) -> Self {
        let reader = DecodingReader::new(reader, decoder);
        Self::new(Source::Received(Box::new(reader)))
    }

    fn new(source: Source<M>) -> Self {
        Self {
            source,
            failure: None,
        }
    }

    /// Waits for the next message; `None` once the other side has ended in order. Cancel safe.
    ///
    /// A message counts against the window of this end until it is returned here, or skipped by a drop: reading slowly
    /// slows the sender.
    ///
    /// # Errors
    ///
    /// The status with which the other side, or the bus, ended the stream. A stream that stops without an end is an
    /// error too (a lost connection, a peer that is gone, a lost frame), never a silent `None`. After an error there is
    /// no further message, and each further call returns the error again; as a [`Stream`] it ends after the error.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        match (self.next().await, &self.failure) {
            (Some(message), _) => message.map(Some),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Ok(None),
        }
    }

    /// Returns the headers that the handler set before it returned its stream.
    ///
    /// At a caller they are there once a server-streaming call was awaited; on a bidirectional call they arrive with
    /// the first message at the latest. Empty before, in a handler, and on a stream that a test made.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        match &self.source {
            Source::Given(_) => Metadata::new(),
            Source::Received(messages) => messages.reader.channel().headers(),
        }
    }

    /// Returns the headers that the handler set after it returned its stream; empty until the stream has ended.
    #[must_use]
    pub fn trailers(&self) -> Metadata {
        match &self.source {
            Source::Given(_) => Metadata::new(),
            Source::Received(messages) => messages.reader.channel().trailers(),
        }
    }

    /// Returns whether the server of the call has begun to stop. The stream goes on, at most for the server's
    /// [grace period](crate::Server::grace), after which it ends with `UNAVAILABLE` (reason
    /// [`ShuttingDown`](crate::Reason::ShuttingDown)).
    ///
    /// For callers, which may open the stream anew at another instance before that; a handler has
    /// [`Context::is_stopping`](crate::Context::is_stopping). Servers of other languages may not tell.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        match &self.source {
            Source::Given(_) => false,
            Source::Received(messages) => messages.reader.channel().is_stopping(),
        }
    }

    /// Returns a future that completes once the server of the call has begun to stop
    /// ([`is_stopping`](Self::is_stopping)), and never if the call ends before. It borrows nothing, so that it can be
    /// awaited beside [`message`](Self::message).
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Status, Streaming};
    ///
    /// /// Reads prices until they end, or until their server stops: the caller then opens the stream at another one.
    /// async fn follow(mut prices: Streaming<f64>) -> Result<(), Status> {
    ///     let mut stopping = Box::pin(prices.stopping());
    ///     loop {
    ///         tokio::select! {
    ///             price = prices.message() => match price? {
    ///                 Some(price) => println!("{price}"),
    ///                 None => return Ok(()),
    ///             },
    ///             () = &mut stopping => return Ok(()),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static + use<M> {
        let channel = match &self.source {
            Source::Given(_) => None,
            Source::Received(messages) => Some(messages.reader.shared_channel()),
        };
        async move {
            match channel {
                Some(channel) => channel.stopping().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Makes a `Streaming` of any other stream, to call a handler from a unit test. [`FromIterator`] makes one of
    /// messages alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::stream;
    /// use micro_runtime::{Status, Streaming};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let mut numbers = Streaming::from_stream(stream::iter([Ok(1), Err(Status::aborted("enough"))]));
    /// assert_eq!(numbers.message().await.unwrap(), Some(1));
    /// assert_eq!(numbers.message().await.unwrap_err().message(), "enough");
    /// assert_eq!(numbers.message().await.unwrap_err().message(), "enough");
    /// # });
    /// ```
    pub fn from_stream(stream: impl Stream<Item = Result<M, Status>> + Send + 'static) -> Self {
        Self::new(Source::Given(Box::pin(stream)))
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
        let this = &mut *self;
        if this.failure.is_some() {
            return Poll::Ready(None);
        }
        let status = match &mut this.source {
            Source::Given(stream) => match ready!(stream.as_mut().poll_next(cx)) {
                Some(Err(status)) => status,
                next => return Poll::Ready(next),
            },
            Source::Received(messages) => match ready!(messages.poll_next(cx)) {
                Some(Err(status)) => status,
                next => return Poll::Ready(next),
            },
        };
        this.failure = Some(status.clone());
        Poll::Ready(Some(Err(status)))
    }
}

impl<M> fmt::Debug for Streaming<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").finish_non_exhaustive()
    }
}
