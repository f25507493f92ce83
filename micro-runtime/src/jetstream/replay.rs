//! `Replay`: a stream of stored events in order, which continues after lost connections.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Ordered;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt, ready};
use tokio::time::{Instant, Interval, interval};

use crate::bus::Bus;
use crate::context::Delivery;
use crate::event;
use crate::event::Event;
use crate::jetstream::durable_event::DurableEvent;
use crate::jetstream::ordered_consumer::OrderedConsumer;
use crate::jetstream::reconnect_detector::{HEALTH_CHECK_INTERVAL, ReconnectDetector};
use crate::jetstream::start_from::StartFrom;
use crate::status::Status;

/// Wait before the second attempt to reopen a replay; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum wait between two attempts to reopen a replay.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Time after which a replay that cannot be reopened yields an error. The election of a leader takes less.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// A [`Stream`] of stored events in the stream's order, each once; opened by [`Bus::replay`].
///
/// It leaves no state behind at the server, and continues after a lost connection or a lost server behind
/// the last event that it has read. A payload that cannot be decoded is an `Err` item in its place.
///
/// Events are decoded as they are polled, and the server sends further ones as those are read: a slow reader
/// holds a limited number in memory, however long the stream is.
#[must_use = "a replay reads as it is polled"]
pub struct Replay<E> {
    state: State,
    bus: Bus,
    stream: Arc<str>,
    filter: String,
    health_check: Interval,
    reconnects: ReconnectDetector,
    /// First event of the replay; never [`StartFrom::New`].
    start: StartFrom,
    /// Sequence of the last message that was read; 0 before the first.
    last_sequence: u64,
    /// Last sequence of the replay; `None` if it follows the stream.
    end_sequence: Option<u64>,
    is_finished: bool,
    event: PhantomData<fn() -> E>,
}

/// Source of the next message.
enum State {
    /// A consumer that delivers.
    Reading(Box<Ordered>),
    /// A consumer that is being created, since the last one was lost.
    Reopening(BoxFuture<'static, Result<Ordered, Status>>),
}

impl<E: Event> Replay<E> {
    /// Begins a replay on a consumer that was created with `start`. A replay with an
    /// `end_sequence` and nothing to read ends at once: no message would ever show that it is complete.
    pub(super) fn new(
        bus: Bus,
        stream: String,
        filter: String,
        start: StartFrom,
        end_sequence: Option<u64>,
        consumer: OrderedConsumer,
    ) -> Self {
        Self {
            state: State::Reading(Box::new(consumer.messages)),
            reconnects: ReconnectDetector::new(bus.connection()),
            bus,
            stream: stream.into(),
            filter,
            health_check: interval(HEALTH_CHECK_INTERVAL),
            start,
            last_sequence: 0,
            is_finished: consumer.pending == 0 && end_sequence.is_some(),
            end_sequence,
            event: PhantomData,
        }
    }

    /// Returns the next event; `None` after the last. Cancel safe.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a payload that cannot be decoded; the next call continues behind it.
    /// `UNAVAILABLE` if the stream could not be read for 30 s; the next call tries again.
    pub async fn next(&mut self) -> Option<Result<DurableEvent<E>, Status>> {
        StreamExt::next(self).await
    }

    /// Returns whether the connection was made anew since the last health check. The consumer may be gone
    /// with its server then, which async-nats would notice by missing heartbeats only.
    fn poll_reconnected(&mut self, cx: &mut TaskContext<'_>) -> bool {
        while self.health_check.poll_tick(cx).is_ready() {
            if self.reconnects.has_reconnected() {
                return true;
            }
        }
        false
    }

    /// Creates a new consumer behind the last event that was read.
    ///
    /// async-nats does the same when a message is missing, but gives up when its requests fail, as they do
    /// while a server restarts or a leader is elected. This one retries for [`REOPEN_TIMEOUT`].
    fn reopen(&self) -> BoxFuture<'static, Result<Ordered, Status>> {
        let (bus, stream, filter) = (
            self.bus.clone(),
            Arc::clone(&self.stream),
            self.filter.clone(),
        );
        let start = match self.last_sequence {
            0 => self.start,
            last => StartFrom::Sequence(last + 1),
        };
        let reopened = async move {
            let mut backoff = INITIAL_BACKOFF;
            let deadline = Instant::now() + REOPEN_TIMEOUT;
            loop {
                match OrderedConsumer::open(&bus, &stream, &filter, start).await {
                    Ok(consumer) => return Ok(consumer.messages),
                    Err(status) if Instant::now() + backoff > deadline => return Err(status),
                    Err(status) => tracing::warn!(%status, "cannot reopen a replay; retrying"),
                }
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        };
        reopened.boxed()
    }

    /// Reads one message; `None` for one outside of the replay.
    ///
    /// When async-nats creates its consumer anew by itself, before it has delivered anything, the new one
    /// may begin elsewhere. So the replay does not rely on it, and skips messages before `start`, behind
    /// `end_sequence`, and those that it has read before.
    fn read(&mut self, message: Message) -> Option<Result<DurableEvent<E>, Status>> {
        let message: async_nats::Message = message.into();
        let delivery = Delivery::parse(&self.stream, message.reply.as_deref()?)?;
        let sequence = delivery.sequence();
        let is_after_start = match self.start {
            StartFrom::Sequence(first) => sequence >= first,
            StartFrom::Time(first) => delivery.time() >= first,
            StartFrom::First | StartFrom::New => true,
        };
        if sequence <= self.last_sequence {
            return None;
        }
        self.last_sequence = sequence;
        if let Some(end) = self.end_sequence {
            // The last event may have been removed since, so that `end` itself never comes.
            self.is_finished = delivery.pending() == 0 || sequence >= end;
        }
        if !is_after_start || self.end_sequence.is_some_and(|end| sequence > end) {
            return None;
        }
        let event = event::decode_message(message.headers.as_ref(), message.payload);
        Some(event.map(|event| DurableEvent { event, delivery }))
    }
}

impl<E: Event> Stream for Replay<E> {
    type Item = Result<DurableEvent<E>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_finished {
            let messages = match &mut self.state {
                State::Reading(messages) => messages,
                State::Reopening(reopening) => {
                    let reopened = ready!(reopening.poll_unpin(cx));
                    self.state = match reopened {
                        Ok(messages) => State::Reading(Box::new(messages)),
                        Err(status) => {
                            self.state = State::Reopening(self.reopen());
                            return Poll::Ready(Some(Err(status)));
                        }
                    };
                    continue;
                }
            };
            let polled = messages.poll_next_unpin(cx);
            if polled.is_pending() && self.poll_reconnected(cx) {
                self.state = State::Reopening(self.reopen());
                continue;
            }
            match ready!(polled) {
                Some(Ok(message)) => {
                    if let Some(item) = self.read(message) {
                        return Poll::Ready(Some(item));
                    }
                }
                interrupted => {
                    let error = interrupted.and_then(Result::err);
                    tracing::warn!(
                        stream = &*self.stream,
                        ?error,
                        "a replay was interrupted; continuing behind the last event"
                    );
                    self.state = State::Reopening(self.reopen());
                }
            }
        }
        Poll::Ready(None)
    }
}

impl<E> fmt::Debug for Replay<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("stream", &self.stream)
            .field("last", &self.last_sequence)
            .finish_non_exhaustive()
    }
}
