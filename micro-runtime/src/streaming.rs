//! `Streaming` and `ReplyStream`: the many messages of one direction of a call.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_util::stream::{Stream, StreamExt as _};

use crate::status::Status;

/// The messages that the other side sends, one after the other.
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
pub struct Streaming<M>(Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>);

impl<M> Streaming<M> {
    /// The next message, or `None` once the other side has ended in order.
    ///
    /// # Errors
    ///
    /// The status with which the other side, or the bus, ended the stream. An end that nobody
    /// declared is an error too, never a silent `None`.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        self.next().await.transpose()
    }

    /// Makes a stream out of any other, to call a handler from a unit test.
    pub fn from_stream(stream: impl Stream<Item = Result<M, Status>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
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
        self.0.as_mut().poll_next(cx)
    }
}

impl<M> fmt::Debug for Streaming<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").finish_non_exhaustive()
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
