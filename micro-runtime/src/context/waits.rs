//! The waits of a handler: for the end of its call, and for the stop of its server.

use crate::context::context::Context;
use crate::context::stop_signal::StopSignal;

impl Context {
    /// Waits until this call has ended: its reply is on its way, its caller has dropped it, its deadline has passed, or
    /// its server has stopped. For tasks that a handler leaves behind; the handler itself is dropped at its next await
    /// then, so that what must be undone belongs into a destructor.
    ///
    /// Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::{Context, Status};
    ///
    /// async fn reserve(ctx: Context, work: impl Future<Output = ()> + Send + 'static) -> Result<(), Status> {
    ///     let task = tokio::spawn(work);
    ///     let abort = task.abort_handle();
    ///     tokio::spawn(async move {
    ///         ctx.ended().await;
    ///         abort.abort();                // the caller has given up, or has its reply
    ///     });
    ///     task.await.map_err(|_| Status::unavailable("the work was given up"))
    /// }
    /// ```
    pub async fn ended(&self) {
        self.end_token().cancelled().await;
    }

    /// Waits until the server that runs this handler has begun to stop. It still waits for the handler then, for its
    /// [grace period](crate::Server::grace): one that streams, or waits for something, ends in order before that.
    ///
    /// Of calls of all kinds, events and durable events. Never completes in a unit test, and where the context belongs
    /// to an event that is read as a stream. Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::{Stream, StreamExt as _};
    /// use micro_runtime::{Context, ReplyStream, Status};
    ///
    /// /// Streams prices, and ends the stream when the server stops. For its caller that is the end of the stream,
    /// /// where `Streaming::is_stopping` tells that it is not all; a handler that must not look complete returns an
    /// /// error instead, as `Status::unavailable`.
    /// fn watch(ctx: Context, prices: impl Stream<Item = f64> + Send + 'static) -> impl ReplyStream<f64> {
    ///     let stopping = Box::pin(async move { ctx.stopping().await });
    ///     prices.map(Ok).take_until(stopping)
    /// }
    /// ```
    pub async fn stopping(&self) {
        match self.stop_signal() {
            Some(stop) => stop.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Returns whether the server that runs this handler has begun to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop_signal().is_some_and(StopSignal::is_sent)
    }
}
