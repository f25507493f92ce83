//! `CarrierSubscription`: a subscription on either carrier, how it stops without losing a message, how it goes on
//! with the next link, and how it ends once NATS refuses it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;

use crate::bus::in_process::InProcessSubscription;
use crate::bus::moves::MovingSubscription;
use crate::bus::open_subscriptions::SubscriptionRegistration;
use crate::bus::refusal::Refusal;

/// One subscription of a connection. Dropping it unsubscribes and discards what has arrived.
///
/// A server that stops calls [`stop`](Self::stop) on all its subscriptions, then waits for one
/// [`barrier`](crate::bus::Connection::barrier), then calls [`close`](Self::close) on each and reads it to its
/// end. No message that the server was sent is lost: 40 stops under load lost none, while async-nats's
/// `Subscriber::drain` lost about 30 requests each time.
///
/// One of [`subscribe_confirmed`](crate::bus::Connection::subscribe_confirmed) ends when NATS refuses it later, behind
/// the messages that have arrived; then [`take_refusal`](Self::take_refusal) has the reason. Those of a server do not:
/// the server watches over all of them, and stops.
pub(crate) struct CarrierSubscription {
    source: SubscriptionSource,
    registration: SubscriptionRegistration,
}

/// Where the messages come from.
pub(super) enum SubscriptionSource {
    Nats(Subscriber),
    /// It moves to another link.
    Moving(Box<MovingSubscription>),
    InProcess(InProcessSubscription),
    /// NATS has refused the subscription, or its bus was closed. It is dropped, or async-nats would make it again on
    /// the next connection.
    Refused(Option<Refusal>),
}

impl CarrierSubscription {
    pub(super) fn new(source: SubscriptionSource, registration: SubscriptionRegistration) -> Self {
        Self {
            source,
            registration,
        }
    }

    /// Ends once NATS refuses the subscription, from now on.
    pub(super) fn end_when_refused(&self) {
        self.registration.end_when_refused();
    }

    /// Waits for the next message; `None` once the subscription has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next message; as [`next`](Self::next).
    #[inline]
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        // First: a busy subscription is never pending, and later messages of a publisher are in it.
        if self.registration.has_signal() {
            self.begin_move();
            if let Poll::Ready(message) = self.registration.poll_probes(cx) {
                return Poll::Ready(Some(message));
            }
        }
        let polled = match &mut self.source {
            SubscriptionSource::Nats(subscriber) => match subscriber.poll_next_unpin(cx) {
                // The link is lost, and the subscription is made again on the next one.
                Poll::Ready(None) if self.registration.is_open() => Poll::Pending,
                polled => polled,
            },
            SubscriptionSource::InProcess(inlet) => inlet.poll_next(cx),
            SubscriptionSource::Moving(_) => self.poll_moving(cx),
            SubscriptionSource::Refused(_) => Poll::Ready(None),
        };
        match polled {
            Poll::Ready(Some(_)) => polled,
            _ if self.registration.is_waiting(cx) => polled,
            ended_or_pending => self.poll_signals(cx, ended_or_pending),
        }
    }

    /// Begins to read two links, if the subscription moves to another one, and no earlier move is under way.
    #[cold]
    fn begin_move(&mut self) {
        if !matches!(self.source, SubscriptionSource::Nats(_)) {
            return;
        }
        let Some(begun) = self.registration.take_move() else {
            return;
        };
        let source = std::mem::replace(&mut self.source, SubscriptionSource::Refused(None));
        self.source = match source {
            SubscriptionSource::Nats(old) => {
                SubscriptionSource::Moving(Box::new(MovingSubscription::new(old, begun)))
            }
            other => other,
        };
    }

    /// Polls both links, or the new one alone once the move is over.
    #[cold]
    fn poll_moving(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let SubscriptionSource::Moving(moving) = &mut self.source else {
            return Poll::Pending;
        };
        if let Some(moved) = moving.take_moved() {
            self.source = SubscriptionSource::Nats(moved);
            return self.poll_next(cx);
        }
        let polled = moving.poll_next(cx);
        // Servers may restart one after the other, sooner than repeats of the last move can be ruled out.
        if !matches!(polled, Poll::Ready(Some(_)))
            && let Some(following) = moving.follow_up(|| self.registration.take_move())
        {
            self.source = SubscriptionSource::Moving(Box::new(following));
            return self.poll_next(cx);
        }
        match polled {
            Poll::Ready(None) if self.registration.is_open() => Poll::Pending,
            polled => polled,
        }
    }

    /// Polls for what others have left for this subscription, which has no message.
    #[cold]
    fn poll_signals(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<Option<Message>>,
    ) -> Poll<Option<Message>> {
        if let Poll::Ready(message) = self.registration.poll_probes(cx) {
            return Poll::Ready(Some(message));
        }
        if polled.is_pending()
            && let Some(next) = self.registration.take_next()
        {
            // What has arrived on the last link was read before.
            self.source = SubscriptionSource::Nats(next);
            return self.poll_next(cx);
        }
        match self.registration.take_refusal() {
            Some(refusal) if polled.is_pending() => {
                self.registration.end();
                self.source = SubscriptionSource::Refused(Some(refusal));
                Poll::Ready(None)
            }
            // Dropped, since it would keep the client of the link, which so would never end it.
            None if polled.is_pending() && self.registration.is_closed() => {
                self.source = SubscriptionSource::Refused(None);
                Poll::Ready(None)
            }
            _ => polled,
        }
    }

    /// Returns once why NATS has ended the subscription; `None` while it lasts, and where it has ended otherwise.
    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        match &mut self.source {
            SubscriptionSource::Refused(refusal) => refusal.take(),
            _ => None,
        }
    }

    /// Stops NATS from routing further messages here, while those on the way still arrive: after the next
    /// barrier all of them have.
    ///
    /// It sends `UNSUB <sid> 18446744073709551615`, which the two ends read differently. nats-server parses at
    /// most nine digits of the count and unsubscribes at once; async-nats waits for a count that is never
    /// reached, and so keeps its channel open. A plain `UNSUB` closes that channel too, and with it goes what
    /// the server had sent already. `tests/it/shutdown.rs` holds it
    /// against a real server.
    ///
    /// A probe of NATS may get a message of this subscription (`probe`). One that is being made is sent first, so
    /// that the barrier is behind its messages as well.
    pub(crate) async fn stop(&mut self) {
        self.registration.end();
        self.registration.finish_joins().await;
        match &mut self.source {
            SubscriptionSource::Nats(subscriber) => {
                if let Err(error) = subscriber.unsubscribe_after(u64::MAX).await {
                    tracing::debug!(%error, "the connection is closed already");
                }
            }
            SubscriptionSource::Moving(moving) => moving.stop().await,
            SubscriptionSource::InProcess(inlet) => inlet.unsubscribe(),
            SubscriptionSource::Refused(_) => {}
        }
    }

    /// Ends the subscription: it yields the messages that have arrived, then `None`.
    pub(crate) async fn close(&mut self) {
        self.registration.end();
        match &mut self.source {
            SubscriptionSource::Nats(subscriber) => {
                if let Err(error) = subscriber.unsubscribe().await {
                    tracing::debug!(%error, "the connection is closed already");
                }
            }
            SubscriptionSource::Moving(moving) => moving.close().await,
            SubscriptionSource::InProcess(inlet) => inlet.unsubscribe(),
            SubscriptionSource::Refused(_) => {}
        }
    }
}
