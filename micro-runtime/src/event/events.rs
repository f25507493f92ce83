//! `Events`: a subscription as a typed stream, and the same as bytes.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use async_nats::Message;
use bytes::Bytes;
use futures_util::Stream;

use crate::bus::{CarrierSubscription, Connection};
use crate::context::{Context, ContextHeaders, Origin};
use crate::error::Error;
use crate::event::decode::{context, decode};
use crate::event::event::Event;
use crate::observe;
use crate::status::Status;
use crate::wire;

/// The events of one kind as they are published: a [`Stream`] of them, at most once.
///
/// What waits to be read is bounded: above 65,536 messages the newest are lost, and logged. What
/// cannot be decoded is an item, counted and logged, and not the end. Dropping it ends the
/// subscription.
pub struct Events<E> {
    pub(super) inlet: SubscriptionReader,
    pub(super) undecodable: u64,
    pub(super) event: PhantomData<fn() -> E>,
}

/// What is published under a subject, as bytes.
pub struct RawEvents {
    pub(super) inlet: SubscriptionReader,
}

/// Bytes that were published, with the context that says how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawEvent {
    /// The subject and the headers.
    pub context: Context,
    /// What was published.
    pub payload: Bytes,
}

/// A subscription of the bus.
pub(super) struct SubscriptionReader {
    pub(super) connection: Arc<Connection>,
    pub(super) subscription: CarrierSubscription,
    pub(super) prefix: usize,
}

impl<E: Event> Events<E> {
    /// The next event, or why it cannot be read; `None` once the subscription has ended.
    pub async fn next(&mut self) -> Option<Result<E, Status>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next event with its context: subject, headers, trace.
    pub async fn next_with_context(&mut self) -> Option<Result<(Context, E), Status>> {
        let message = poll_fn(|cx| self.inlet.subscription.poll_next(cx)).await?;
        let Message {
            subject,
            headers,
            payload,
            ..
        } = message;
        let prefix = self.inlet.prefix;
        let context = context(
            Some(E::DESCRIPTOR),
            subject,
            headers.as_ref(),
            prefix,
            None,
            None,
        );
        let read = context.and_then(|ctx| Ok((ctx, decode(payload)?)));
        Some(read.inspect_err(|status| self.refuse(status)))
    }

    /// Takes nothing new. What has been sent until now can still be read, and then comes the end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when NATS could not confirm that; what has
    /// arrived can be read all the same.
    pub async fn drain(&mut self) -> Result<(), Error> {
        self.inlet.drain().await
    }

    /// How many messages could not be read.
    #[must_use]
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    fn poll_event(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<E, Status>>> {
        let Some(message) = ready!(self.inlet.subscription.poll_next(cx)) else {
            return Poll::Ready(None);
        };
        let payload = wire::read_event(message.headers.as_ref(), message.payload);
        let event = payload.and_then(decode);
        Poll::Ready(Some(event.inspect_err(|status| self.refuse(status))))
    }

    fn refuse(&mut self, status: &Status) {
        self.undecodable += 1;
        let name = E::DESCRIPTOR.full_name;
        observe::event_failed(name, status.code());
        tracing::warn!(event = name, %status, "an event cannot be read");
    }
}

impl<E: Event> Stream for Events<E> {
    type Item = Result<E, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl RawEvents {
    /// The next message; `None` once the subscription has ended.
    pub async fn next(&mut self) -> Option<RawEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Takes nothing new. What has been sent until now can still be read, and then comes the end.
    ///
    /// # Errors
    ///
    /// As [`Events::drain`].
    pub async fn drain(&mut self) -> Result<(), Error> {
        self.inlet.drain().await
    }

    fn poll_event(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<RawEvent>> {
        let next = ready!(self.inlet.subscription.poll_next(cx));
        Poll::Ready(next.map(|message| self.inlet.raw(message)))
    }
}

impl Stream for RawEvents {
    type Item = RawEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl SubscriptionReader {
    async fn drain(&mut self) -> Result<(), Error> {
        self.subscription.stop().await;
        let arrived = self.connection.barrier().await;
        self.subscription.close().await;
        arrived
    }

    /// Whoever wants bytes wants them as they are: headers that are no metadata are left out.
    fn raw(&self, message: Message) -> RawEvent {
        let headers = message.headers.as_ref();
        let headers = ContextHeaders::read_accepted(headers);
        let origin = Origin {
            event: None,
            subject: message.subject,
            prefix: self.prefix,
        };
        RawEvent {
            context: Context::of_event(origin, headers, None, None),
            payload: message.payload,
        }
    }
}

impl<E: Event> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("event", &E::DESCRIPTOR.full_name)
            .field("undecodable", &self.undecodable)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RawEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEvents").finish_non_exhaustive()
    }
}
