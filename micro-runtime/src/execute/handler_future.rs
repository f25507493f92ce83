//! `HandlerFuture`: a handler at work, which can be polled and dropped in place.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use crate::status::Status;

/// A handler at work. Both functions run the user's code and so may panic; `Execution` catches that.
pub(crate) trait HandlerFuture: Send {
    /// Value that the handler returns.
    type Output;

    /// Polls the handler; it is not polled again once it is ready.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Self::Output, Status>>;

    /// Drops the handler's state, and with it whatever it holds. Does nothing the second time.
    fn clear(&mut self);
}

/// A handler at work in a box of its own.
pub(crate) struct BoxedHandler<'a, T>(Option<BoxFuture<'a, T>>);

/// The future of a handler.
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
        self.0 = None;
    }
}
