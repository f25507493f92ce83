//! `ReplayReader`: reads the consumer of a replay, and asks for the front of the stream where events may be missing.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use async_nats::Message;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Interval, interval};

use crate::context::Delivery;
use crate::jetstream::ordered_consumer::{ConsumerItem, OrderedConsumer, ReadError};
use crate::jetstream::reconnect_detector::HEALTH_CHECK_INTERVAL;
use crate::jetstream::replay_position::ReplayPosition;
use crate::jetstream::replay_source::{ReplaySource, ReplayedStream};
use crate::status::{Reason, Status};

/// A consumer that delivers to a replay.
pub(super) struct ReplayReader {
    source: Arc<ReplaySource>,
    pub(super) consumer: OrderedConsumer,
    health_check: Interval,
    /// Item that waits for the state of the stream.
    checking: Option<PendingCheck>,
}

/// An item of the consumer.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and nearly all are events"
)]
pub(super) enum ReplayItem {
    /// An event.
    Event(Message, Delivery),
    /// The consumer has delivered everything up to this sequence.
    Idle(u64),
}

/// An item in front of which events may be missing.
struct PendingCheck {
    item: ReplayItem,
    stream: BoxFuture<'static, Result<ReplayedStream, Status>>,
}

impl ReplayReader {
    pub(super) fn new(source: &Arc<ReplaySource>, consumer: OrderedConsumer) -> Self {
        Self {
            source: Arc::clone(source),
            consumer,
            health_check: interval(HEALTH_CHECK_INTERVAL),
            checking: None,
        }
    }

    /// Polls for the next item, with the state of the stream if events may be missing in front of it.
    ///
    /// # Errors
    ///
    /// Those of [`OrderedConsumer::poll_next`].
    pub(super) fn poll_next(
        &mut self,
        position: &ReplayPosition,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(ReplayItem, Option<ReplayedStream>), ReadError>> {
        let mut checking = match self.checking.take() {
            Some(checking) => checking,
            None => {
                let (item, is_suspect) = ready!(self.poll_item(position, cx))?;
                if !is_suspect {
                    return Poll::Ready(Ok((item, None)));
                }
                let source = Arc::clone(&self.source);
                let stream = async move { source.replayed_stream().await }.boxed();
                PendingCheck { item, stream }
            }
        };
        let Poll::Ready(stream) = checking.stream.poll_unpin(cx) else {
            self.checking = Some(checking);
            return Poll::Pending;
        };
        Poll::Ready(match stream {
            Ok(stream) => Ok((checking.item, Some(stream))),
            Err(status) if status.reason() == Some(Reason::NotPermitted) => {
                Err(ReadError::Refused(status))
            }
            // The events come again, of another consumer.
            Err(status) => Err(ReadError::Lost(status.to_string())),
        })
    }

    /// Polls for the next item; returns besides whether events may be missing in front of it.
    fn poll_item(
        &mut self,
        position: &ReplayPosition,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<(ReplayItem, bool), ReadError>> {
        loop {
            let (message, is_behind_pause) = match ready!(self.poll_consumer(cx))? {
                ConsumerItem::Message {
                    message,
                    is_behind_pause,
                } => (message, is_behind_pause),
                ConsumerItem::Idle { sequence } => {
                    let is_suspect = position.is_idle_suspect(sequence);
                    return Poll::Ready(Ok((ReplayItem::Idle(sequence), is_suspect)));
                }
            };
            let reply = message.reply.as_deref();
            let delivery = reply.and_then(|reply| Delivery::parse(&self.source.stream, reply));
            let Some(delivery) = delivery else {
                continue;
            };
            let (sequence, pending) = (delivery.sequence(), delivery.pending());
            let is_suspect = position.is_suspect(sequence, pending, is_behind_pause);
            return Poll::Ready(Ok((ReplayItem::Event(message, delivery), is_suspect)));
        }
    }

    fn poll_consumer(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<ConsumerItem, ReadError>> {
        let polled = self.consumer.poll_next(cx);
        while polled.is_pending() && self.health_check.poll_tick(cx).is_ready() {
            if self.consumer.has_reconnected() {
                let cause = "the connection was made anew".to_owned();
                return Poll::Ready(Err(ReadError::Lost(cause)));
            }
        }
        polled
    }
}
