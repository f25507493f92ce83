//! `HandlerFuture`: a handler at work, which can be polled and dropped in place.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use crate::status::Status;

/// A handler at work.
///
/// Unlike a `Future` it needs no pinned owner and is dropped by [`clear`](Self::clear), which makes
/// two kinds of handlers fit: a future in a box of its own ([`BoxedHandler`]), and one in a slot that
/// the next event uses again, so that an event handled in place costs no allocation (`event`).
///
/// Both functions run the user's code and so may panic. An `Execution` catches that; nothing else may
/// call them.
pub(crate) trait HandlerFuture: Send {
    /// Whether a handler that is ready has dropped its state within [`poll`](Self::poll) already, so that
    /// nothing is left to clear.
    const IS_CLEARED_WHEN_READY: bool = false;

    /// Value that the handler returns.
    type Output;

    /// Polls the handler. It is not polled again once it is ready or has panicked.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Self::Output, Status>>;

    /// Drops the handler's state, and with it everything that it captured. Does nothing when called
    /// again, even if the first call panicked: after it no destructor of the user's is left.
    fn clear(&mut self);
}

/// A handler at work in a box of its own.
pub(crate) struct BoxedHandler<'a, T>(Option<BoxFuture<'a, T>>);

/// The future of a handler, without its type.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;

impl<'a, T> BoxedHandler<'a, T> {
    pub(crate) fn new(future: BoxFuture<'a, T>) -> Self {
        Self(Some(future))
    }
}

impl<T> HandlerFuture for BoxedHandler<'_, T> {
    type Output = T;

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<T, Status>> {
        match &mut self.0 {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn clear(&mut self) {
        // The assignment leaves `None` behind even where dropping the box unwinds.
        self.0 = None;
    }
}
