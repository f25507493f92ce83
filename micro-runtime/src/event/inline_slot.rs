//! `InlineSlot`: where the handler of one kind of event runs, one event after the other, without an
//! allocation for each.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;

use crate::context::Context;
use crate::execute::BoxFuture;
use crate::status::Status;

/// A subscriber without its types.
pub(super) trait EventCall: Send + Sync {
    /// Makes an event's handler; nothing of it runs yet.
    fn begin(&self, ctx: Context, payload: Bytes) -> BoxFuture<'static, ()>;

    fn slot(self: Arc<Self>) -> Box<dyn InlineSlot>;
}

/// Room for one event's handler at a time.
pub(super) trait InlineSlot: Send {
    /// Puts an event's handler into the room; nothing of it runs yet.
    fn begin(&mut self, ctx: Context, payload: Bytes);

    /// Polls the handler. The room is free again once it is ready.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>>;

    /// Drops the handler. A destructor that panics leaves the slot free all the same.
    fn clear(&mut self);

    /// Lets a handler that has begun go on elsewhere.
    fn take(&mut self) -> BoxFuture<'static, ()>;
}

struct TypedSlot<C, F> {
    call: Arc<C>,
    handling: Pin<Box<Option<F>>>,
}

/// What has left its room.
struct DetachedHandler<F>(Pin<Box<Option<F>>>);

impl<C, F> EventCall for C
where
    C: Fn(Context, Bytes) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    fn begin(&self, ctx: Context, payload: Bytes) -> BoxFuture<'static, ()> {
        Box::pin(self(ctx, payload))
    }

    fn slot(self: Arc<Self>) -> Box<dyn InlineSlot> {
        Box::new(TypedSlot {
            call: self,
            handling: Box::pin(None),
        })
    }
}

impl<C, F> InlineSlot for TypedSlot<C, F>
where
    C: Fn(Context, Bytes) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    fn begin(&mut self, ctx: Context, payload: Bytes) {
        self.handling.set(Some((self.call)(ctx, payload)));
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        let polled = poll(&mut self.handling, cx);
        if polled.is_ready() {
            self.handling.set(None);
        }
        polled
    }

    fn clear(&mut self) {
        self.handling.set(None);
    }

    fn take(&mut self) -> BoxFuture<'static, ()> {
        let handling = std::mem::replace(&mut self.handling, Box::pin(None));
        Box::pin(DetachedHandler(handling))
    }
}

impl<F: Future<Output = Result<(), Status>>> Future for DetachedHandler<F> {
    type Output = Result<(), Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        poll(&mut self.0, cx)
    }
}

fn poll<F: Future>(
    handling: &mut Pin<Box<Option<F>>>,
    cx: &mut TaskContext<'_>,
) -> Poll<F::Output> {
    match handling.as_mut().as_pin_mut() {
        Some(handling) => handling.poll(cx),
        None => Poll::Pending,
    }
}
