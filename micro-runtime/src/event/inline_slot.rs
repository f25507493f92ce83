//! `InlineSlot`: reusable memory for the handler of one subscription's events, so that an event that is
//! handled in place needs no allocation for its future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;

use crate::context::Context;
use crate::execute::BoxFuture;
use crate::status::Status;

/// A subscriber without its types: starts its handler with the bytes of an event.
///
/// Implemented by closures that decode the event and call the user's subscriber; the concrete type of
/// the future that they return is what a [`TypedSlot`] keeps room for.
pub(super) trait ErasedSubscriber: Send + Sync {
    /// Creates an event's handler in a box of its own; nothing of it runs before its first poll.
    fn boxed(&self, ctx: Context, payload: Bytes) -> BoxFuture<'static, ()>;

    /// Creates an empty slot for this subscriber's handlers.
    fn inline_slot(self: Arc<Self>) -> Box<dyn InlineSlot>;
}

/// Memory for one handler at a time.
///
/// The loop that reads a subscription owns one slot and puts each event's handler into it. Most handlers
/// that run in place are ready after their first poll, and the next handler overwrites the same memory.
/// A handler that is not ready leaves the slot with its box ([`take`](Self::take)), since it is pinned
/// and must not move, and the slot gets a new box: that allocation is paid only by handlers that wait.
///
/// `poll` and `clear` run the user's code, the handler or its destructors, and so may panic; an `Execution`
/// catches that. `fill` and `take` run none of it.
pub(super) trait InlineSlot: Send {
    /// Puts an event's handler into the slot, which must be empty; nothing of it runs yet.
    fn fill(&mut self, ctx: Context, payload: Bytes);

    /// Polls the handler. The slot is empty again once it is ready.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>>;

    /// Drops the handler. A destructor that panics leaves the slot empty all the same.
    fn clear(&mut self);

    /// Moves a handler that has started into a future of its own, and leaves the slot empty.
    fn take(&mut self) -> BoxFuture<'static, ()>;
}

/// The slot of a subscriber whose handlers are of type `F`.
struct TypedSlot<C, F> {
    subscriber: Arc<C>,
    future: Pin<Box<Option<F>>>,
}

/// A handler that has left its slot, in the box that the slot had.
struct TakenHandler<F>(Pin<Box<Option<F>>>);

impl<C, F> ErasedSubscriber for C
where
    C: Fn(Context, Bytes) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    fn boxed(&self, ctx: Context, payload: Bytes) -> BoxFuture<'static, ()> {
        Box::pin(self(ctx, payload))
    }

    fn inline_slot(self: Arc<Self>) -> Box<dyn InlineSlot> {
        Box::new(TypedSlot {
            subscriber: self,
            future: Box::pin(None),
        })
    }
}

impl<C, F> InlineSlot for TypedSlot<C, F>
where
    C: Fn(Context, Bytes) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    fn fill(&mut self, ctx: Context, payload: Bytes) {
        self.future.set(Some((self.subscriber)(ctx, payload)));
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        let polled = poll_slot(&mut self.future, cx);
        if polled.is_ready() {
            self.future.set(None);
        }
        polled
    }

    fn clear(&mut self) {
        self.future.set(None);
    }

    fn take(&mut self) -> BoxFuture<'static, ()> {
        let future = std::mem::replace(&mut self.future, Box::pin(None));
        Box::pin(TakenHandler(future))
    }
}

impl<F: Future<Output = Result<(), Status>>> Future for TakenHandler<F> {
    type Output = Result<(), Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        poll_slot(&mut self.0, cx)
    }
}

fn poll_slot<F: Future>(
    slot: &mut Pin<Box<Option<F>>>,
    cx: &mut TaskContext<'_>,
) -> Poll<F::Output> {
    match slot.as_mut().as_pin_mut() {
        Some(future) => future.poll(cx),
        None => Poll::Pending,
    }
}
