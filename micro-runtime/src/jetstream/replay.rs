//! `Replay`: a stream of stored events in order, which continues after lost connections.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use async_nats::Message;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt, ready};
use tokio::time::{Instant, Interval, interval};

use crate::bus::{Bus, NoRuntime};
use crate::context::Delivery;
use crate::event;
use crate::event::Event;
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::durable_event::DurableEvent;
use crate::jetstream::ordered_consumer::{OrderedConsumer, ReadError};
use crate::jetstream::reconnect_detector::HEALTH_CHECK_INTERVAL;
use crate::jetstream::start_from::StartFrom;
use crate::jetstream::stored_message::StoredMessage;
use crate::log_limit::LogLimit;
use crate::status::{Reason, Status};
use crate::wire::header::delete_marker;

/// Wait before the second attempt to reopen a replay; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Wait before a replay that NATS has refused to reopen is reopened once more. Each attempt is a line in NATS's log.
const REFUSED_BACKOFF: Duration = Duration::from_secs(5);
/// Maximum wait between two attempts to reopen a replay.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Time after which a replay that cannot be reopened yields an error. The election of a leader takes less.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// A [`Stream`] of stored events in the stream's order, each once; opened by [`Bus::replay`].
///
/// It leaves no state behind at the server, and continues after a lost connection or a lost server behind
/// the last event that it has read. A payload that cannot be decoded is an `Err` item in its place, and so are headers
/// that cannot be parsed.
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
    /// First event of the replay; never [`StartFrom::New`].
    start: StartFrom,
    /// Sequence of the last message that was read; 0 before the first.
    last_sequence: u64,
    /// Last sequence of the replay; `None` if it follows the stream.
    end_sequence: Option<u64>,
    is_finished: bool,
    /// Number of losses of the connection that a malformed event may have caused, at the last look.
    suspected_cuts: u64,
    interruption_log: LogLimit,
    /// Of attempts to reopen it that fail.
    failure_log: Arc<LogLimit>,
    event: PhantomData<fn() -> E>,
}

/// Source of the next message.
enum State {
    /// A consumer that delivers.
    Reading(Box<OrderedConsumer>),
    /// A consumer that is being created, since the last one was lost.
    Reopening(BoxFuture<'static, Result<Reopened, Status>>),
}

/// Result of going on behind the last event.
enum Reopened {
    /// A consumer that begins behind the last event.
    Consumer(OrderedConsumer),
    /// The next event cannot be received: its delivery would cost the connection.
    Unreceivable(StoredMessage, &'static str),
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
            is_finished: consumer.pending == 0 && end_sequence.is_some(),
            state: State::Reading(Box::new(consumer)),
            suspected_cuts: bus.consuming().mux().counts().suspected_cuts(),
            bus,
            stream: stream.into(),
            filter,
            health_check: interval(HEALTH_CHECK_INTERVAL),
            start,
            last_sequence: 0,
            end_sequence,
            interruption_log: LogLimit::default(),
            failure_log: Arc::default(),
            event: PhantomData,
        }
    }

    /// Returns the next event; `None` after the last. Cancel safe.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a payload that cannot be decoded, and for headers that cannot be parsed; the next call
    /// continues behind it.
    /// `UNAVAILABLE` if the stream could not be read for 30 s, and `PERMISSION_DENIED` if NATS refuses it
    /// to this user; the next call tries again, after 5 s where NATS has refused a second time.
    pub async fn next(&mut self) -> Option<Result<DurableEvent<E>, Status>> {
        StreamExt::next(self).await
    }

    /// Polls for the next message. Fails with the reason, in words, if the consumer is lost.
    fn poll_message(
        consumer: &mut OrderedConsumer,
        health_check: &mut Interval,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Message, ReadError>> {
        let polled = consumer.poll_next(cx);
        while polled.is_pending() && health_check.poll_tick(cx).is_ready() {
            if let Some(cause) = consumer.loss() {
                return Poll::Ready(Err(ReadError::Lost(cause.to_owned())));
            }
        }
        polled
    }

    /// Creates a new consumer behind the last event that was read, after a wait. Requests fail while a server restarts
    /// or a leader is elected, so that it retries for [`REOPEN_TIMEOUT`]. With `is_cut` the next event is looked at
    /// first: it may be one that costs the connection.
    fn reopen(&self, wait: Duration, is_cut: bool) -> BoxFuture<'static, Result<Reopened, Status>> {
        let (bus, stream, filter) = (
            self.bus.clone(),
            Arc::clone(&self.stream),
            self.filter.clone(),
        );
        let log = Arc::clone(&self.failure_log);
        let start = match self.last_sequence {
            0 => self.start,
            last => StartFrom::Sequence(last + 1),
        };
        let reopened = async move {
            NoRuntime::check().map_err(|none| none.into_status("a replay does not continue"))?;
            tokio::time::sleep(wait).await;
            let mut backoff = INITIAL_BACKOFF;
            let deadline = Instant::now() + REOPEN_TIMEOUT;
            loop {
                match go_on(&bus, &stream, &filter, start, is_cut).await {
                    Ok(reopened) => return Ok(reopened),
                    Err(status) if status.reason() == Some(Reason::NotPermitted) => {
                        return Err(status);
                    }
                    Err(status)
                        if Instant::now() + backoff > deadline || bus.consuming().is_closed() =>
                    {
                        return Err(status);
                    }
                    Err(status) => {
                        let stream = Arc::clone(&stream);
                        log.write(move |count| {
                            tracing::warn!(stream = &*stream, %status, count, "cannot reopen a replay; retrying");
                        });
                    }
                }
                backoff = match bus.consuming().pause(backoff).await {
                    true => INITIAL_BACKOFF,
                    false => (backoff * 2).min(MAX_BACKOFF),
                };
            }
        };
        reopened.boxed()
    }

    /// Returns whether the connection was lost since the last call, and an event that cannot be received may have
    /// caused that.
    fn is_suspect(&mut self) -> bool {
        let suspected = self.bus.consuming().mux().counts().suspected_cuts();
        std::mem::replace(&mut self.suspected_cuts, suspected) != suspected
    }

    /// Goes on behind an event that cannot be received; returns its error, unless it is outside of the replay.
    fn pass_over(&mut self, message: &StoredMessage, flaw: &'static str) -> Option<Status> {
        let sequence = message.sequence;
        self.last_sequence = sequence;
        self.is_finished = self.end_sequence.is_some_and(|end| sequence >= end);
        self.state = State::Reopening(self.reopen(Duration::ZERO, true));
        if self.end_sequence.is_some_and(|end| sequence > end) {
            return None;
        }
        let text = format!("event {sequence} of stream `{}`: {flaw}", self.stream);
        Some(Reason::BadHeader.status(text))
    }

    /// Reads one message; `None` for one outside of the replay.
    ///
    /// Messages before `start`, behind `end_sequence`, and those that were read before are skipped, and so are delete
    /// markers of JetStream.
    fn read(&mut self, message: Message) -> Option<Result<DurableEvent<E>, Status>> {
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
        if delete_marker(message.headers.as_ref()).is_some() {
            return None;
        }
        let event = event::decode_message(message.headers.as_ref(), message.payload);
        Some(event.map(|event| DurableEvent { event, delivery }))
    }
}

/// Reads on from `start`, unless `is_cut` and the first event there cannot be received.
///
/// Everything in front of an event that cannot be received has arrived, so that it is the next one once the replay has
/// read what arrived. If it is not, since something was lost besides, the replay reads on, loses the connection there
/// once more, and finds it then.
///
/// # Errors
///
/// Those of [`OrderedConsumer::open`]. A user who may not look at the event reads on.
async fn go_on(
    bus: &Bus,
    stream: &str,
    filter: &str,
    start: StartFrom,
    is_cut: bool,
) -> Result<Reopened, Status> {
    if is_cut {
        let api = Api::new(bus.consuming());
        let next = api.next_message(stream, start, filter);
        let looked = async {
            let Some(message) = next.await? else {
                return Ok(None);
            };
            let flaw = api.flaw(stream, &message).await?;
            Ok::<_, ApiError>(flaw.map(|flaw| (message, flaw)))
        };
        match looked.await {
            Ok(Some((message, flaw))) => return Ok(Reopened::Unreceivable(message, flaw)),
            Ok(None) => {}
            // The network may have been the cause.
            Err(error) => {
                tracing::debug!(%stream, %error, "the next event cannot be looked at; the replay reads on");
            }
        }
    }
    let consumer = OrderedConsumer::open(bus, stream, filter, start).await?;
    Ok(Reopened::Consumer(consumer))
}

impl<E: Event> Stream for Replay<E> {
    type Item = Result<DurableEvent<E>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_finished {
            let this = &mut *self;
            let polled = match &mut this.state {
                State::Reading(consumer) => {
                    Self::poll_message(consumer, &mut this.health_check, cx)
                }
                State::Reopening(reopening) => match ready!(reopening.poll_unpin(cx)) {
                    Ok(Reopened::Consumer(consumer)) => {
                        // What was left may have been removed, or may have been what cannot be received.
                        self.is_finished = consumer.pending == 0 && self.end_sequence.is_some();
                        self.state = State::Reading(Box::new(consumer));
                        continue;
                    }
                    Ok(Reopened::Unreceivable(message, flaw)) => {
                        if let Some(status) = self.pass_over(&message, flaw) {
                            return Poll::Ready(Some(Err(status)));
                        }
                        continue;
                    }
                    Err(status) => {
                        let wait = match status.reason() {
                            Some(Reason::NotPermitted) => REFUSED_BACKOFF,
                            _ => Duration::ZERO,
                        };
                        self.state = State::Reopening(self.reopen(wait, false));
                        return Poll::Ready(Some(Err(status)));
                    }
                },
            };
            match ready!(polled) {
                Ok(message) => {
                    if let Some(item) = self.read(message) {
                        return Poll::Ready(Some(item));
                    }
                }
                Err(ReadError::Refused(status)) => {
                    self.state = State::Reopening(self.reopen(Duration::ZERO, false));
                    return Poll::Ready(Some(Err(status)));
                }
                Err(ReadError::Lost(_)) if self.bus.consuming().is_closed() => {
                    self.is_finished = true;
                    let closed = "the replay has ended: the bus was closed";
                    return Poll::Ready(Some(Err(Reason::Disconnected.status(closed))));
                }
                Err(ReadError::Lost(cause)) => {
                    let stream = Arc::clone(&self.stream);
                    self.interruption_log.write(move |count| {
                        tracing::warn!(
                            stream = &*stream,
                            cause,
                            count,
                            "a replay was interrupted; continuing behind the last event"
                        );
                    });
                    let is_cut = self.is_suspect();
                    self.state = State::Reopening(self.reopen(Duration::ZERO, is_cut));
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
