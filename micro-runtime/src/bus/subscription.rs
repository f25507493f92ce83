//! `CarrierSubscription`: what a server reads its requests from, and how it ends without losing one.

use std::task::{Context, Poll};

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;

use crate::bus::in_process::InProcessSubscription;

/// What a server reads its requests from.
pub(crate) enum CarrierSubscription {
    Nats(Subscriber),
    InProcess(InProcessSubscription),
}

impl CarrierSubscription {
    pub(crate) async fn next(&mut self) -> Option<Message> {
        match self {
            Self::Nats(subscriber) => subscriber.next().await,
            Self::InProcess(inlet) => inlet.next().await,
        }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        match self {
            Self::Nats(subscriber) => subscriber.poll_next_unpin(cx),
            Self::InProcess(inlet) => inlet.poll_next(cx),
        }
    }

    /// Stops the server from sending more, and keeps what is under way: after the next barrier
    /// everything that was routed here has arrived.
    ///
    /// nats-server reads at most nine digits of the count and takes more for "at once", while
    /// async-nats waits for a count that is never reached and so keeps its channel open.
    pub(crate) async fn stop(&mut self) {
        match self {
            Self::Nats(subscriber) => {
                if let Err(error) = subscriber.unsubscribe_after(u64::MAX).await {
                    tracing::debug!(%error, "the connection is closed already");
                }
            }
            Self::InProcess(inlet) => inlet.unsubscribe(),
        }
    }

    /// Ends the subscription after what has arrived.
    pub(crate) async fn close(&mut self) {
        match self {
            Self::Nats(subscriber) => {
                if let Err(error) = subscriber.unsubscribe().await {
                    tracing::debug!(%error, "the connection is closed already");
                }
            }
            Self::InProcess(inlet) => inlet.unsubscribe(),
        }
    }
}
