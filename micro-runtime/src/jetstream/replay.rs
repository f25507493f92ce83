//! `Replay`: a stream of stored events in order, which continues after lost connections.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use async_nats::Message;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt};

use crate::context::Delivery;
use crate::event;
use crate::event::Event;
use crate::jetstream::durable_event::DurableEvent;
use crate::jetstream::ordered_consumer::{OrderedConsumer, ReadError};
use crate::jetstream::replay_position::ReplayPosition;
use crate::jetstream::replay_reader::{ReplayItem, ReplayReader};
use crate::jetstream::replay_source::{NextEvents, Reopened, ReplaySource, ReplayedStream};
use crate::jetstream::start_from::StartFrom;
use crate::jetstream::stored_message::StoredMessage;
use crate::status::{Code, Reason, Status};
use crate::wire::header::delete_marker;

/// Wait before a replay that NATS has refused to reopen is reopened once more. Each attempt is a line in NATS's log.
const REFUSED_BACKOFF: Duration = Duration::from_secs(5);

/// A [`Stream`] of stored events in the stream's order, each once; opened by [`Bus::replay`](crate::Bus::replay).
///
/// It leaves no state behind at the server, and continues after a lost connection or a lost server behind the last
/// event that it has read. A payload that cannot be decoded is an `Err` item in its place, and so are headers that
/// cannot be parsed.
///
/// **It never ends short in silence.** Events that a purge, `max_age` or a full stream has removed before the replay
/// could read them are an `Err` item in their place, `DATA_LOSS` with the reason
/// [`EventsLost`](crate::Reason::EventsLost), which names the sequences; with a filter some of them may not have
/// matched. The next call continues behind them. Events that were deleted one by one, by a purge of some subjects, or
/// by a limit for each subject, are no gap. A replay that does not
/// [`follow`](crate::jetstream::ReplayBuilder::follow) ends at what is stored, and with an error where its stream is
/// deleted; one that does waits for the stream, and begins with its first event, behind an `Err` item of the same
/// reason, where it was declared again.
///
/// Events are decoded as they are polled, and the server sends further ones as those are read: a slow reader holds a
/// limited number in memory (500, or 16 MiB), however long the stream is.
#[must_use = "a replay reads as it is polled"]
pub struct Replay<E> {
    state: State,
    source: Arc<ReplaySource>,
    /// First event of the replay; never [`StartFrom::New`].
    start: StartFrom,
    position: ReplayPosition,
    /// Sequence of the last event that was read; 0 before the first.
    last_read: u64,
    /// Creation of the stream that is read.
    created_ns: i128,
    /// Errors that come before anything else.
    errors: VecDeque<Status>,
    /// Item of the consumer that comes behind them.
    received: Option<ReplayItem>,
    event: PhantomData<fn() -> E>,
}

/// Source of the next message.
enum State {
    /// A consumer that delivers.
    Reading(Box<ReplayReader>),
    /// A consumer that is being created, since the last one was lost.
    Reopening(BoxFuture<'static, Result<Reopened, Status>>),
    Finished,
}

impl<E: Event> Replay<E> {
    /// Begins a replay on a consumer that was created with `start`, in a stream with this `state` before that.
    pub(super) fn new(
        source: Arc<ReplaySource>,
        start: StartFrom,
        state: ReplayedStream,
        consumer: OrderedConsumer,
    ) -> Self {
        let last = state.ends.last;
        let end = source.is_bounded.then_some(last);
        let mut replay = Self {
            state: State::Finished,
            position: ReplayPosition::new(consumer.position, consumer.pending, end, last),
            source,
            start,
            last_read: 0,
            created_ns: state.created_ns,
            errors: VecDeque::new(),
            received: None,
            event: PhantomData,
        };
        replay.read_from(consumer);
        replay
    }

    /// Returns the next event; `None` after the last. Cancel safe.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a payload that cannot be decoded, and for headers that cannot be parsed; the next call
    /// continues behind it. So it does behind `DATA_LOSS`, for events that were removed before they were read.
    /// `NOT_FOUND` if the stream is gone, which ends a replay that does not follow it.
    /// `UNAVAILABLE` if the stream could not be read for 30 s, and `PERMISSION_DENIED` if NATS refuses it
    /// to this user; the next call tries again, after 5 s where NATS has refused a second time.
    pub async fn next(&mut self) -> Option<Result<DurableEvent<E>, Status>> {
        StreamExt::next(self).await
    }

    /// Reads from a consumer that begins behind the position. No message would ever show that there is nothing to read.
    fn read_from(&mut self, mut consumer: OrderedConsumer) {
        if self.position.is_at_end() {
            self.state = State::Finished;
            return;
        }
        if self.position.may_be_at_end() {
            consumer.probe();
        }
        self.state = State::Reading(Box::new(ReplayReader::new(&self.source, consumer)));
    }

    /// Returns the first event that was not passed yet.
    fn next_start(&self) -> StartFrom {
        StartFrom::Sequence(self.position.passed() + 1)
    }

    /// Creates another consumer behind the position, after a wait.
    fn reopen(&mut self, wait: Duration, is_cut: bool) {
        self.state = State::Reopening(self.source.reopen(self.next_start(), wait, is_cut));
    }

    /// Goes on with another consumer.
    fn reopened(&mut self, reopened: Reopened) {
        let stream = reopened.stream;
        if stream.created_ns != self.created_ns || stream.ends.last < self.last_read {
            return self.begin_anew(stream);
        }
        let (next, pending) = match &reopened.next {
            NextEvents::Consumer(consumer) => (consumer.position + 1, consumer.pending),
            NextEvents::Unreceivable(message, _) => (message.sequence, 0),
        };
        if let Some(gap) = self.position.gap(next, pending, stream.ends) {
            self.errors.push_back(self.removed(&gap));
        }
        match reopened.next {
            NextEvents::Consumer(consumer) => {
                self.position.pass(consumer.position, pending);
                self.read_from(*consumer);
            }
            NextEvents::Unreceivable(message, flaw) => self.pass_over(&message, flaw),
        }
    }

    /// Goes on where no consumer could be created.
    fn not_reopened(&mut self, status: Status) {
        let is_gone = self.source.is_bounded && status.code() == Code::NotFound;
        if is_gone || self.source.bus.consuming().is_closed() {
            self.state = State::Finished;
        } else {
            let wait = match status.reason() {
                Some(Reason::NotPermitted) => REFUSED_BACKOFF,
                _ => Duration::ZERO,
            };
            self.reopen(wait, false);
        }
        self.errors.push_back(status);
    }

    /// Goes on with a stream that has other events under the sequences that were read, or ends.
    ///
    /// It was deleted and declared again; or it has lost events that were read, as a nats-server that stops without
    /// storing them may, and stores others under their sequences.
    fn begin_anew(&mut self, stream: ReplayedStream) {
        let (name, read) = (&self.source.stream, self.last_read);
        let is_another = stream.created_ns != self.created_ns;
        let last = if is_another { 0 } else { stream.ends.last };
        let happened = match is_another {
            true => format!("stream `{name}` was deleted and declared again"),
            false => format!("stream `{name}` has lost its events behind {last}"),
        };
        let (follows, state) = match self.source.is_bounded {
            true => ("the replay ends", State::Finished),
            false => {
                let start = StartFrom::Sequence(last + 1);
                let reopening = self.source.reopen(start, Duration::ZERO, false);
                ("the replay begins anew there", State::Reopening(reopening))
            }
        };
        let text = format!("{happened}, when {read} was the last one that was read; {follows}");
        self.errors.push_back(Reason::EventsLost.status(text));
        self.state = state;
        self.created_ns = stream.created_ns;
        self.start = StartFrom::First;
        self.last_read = 0;
        self.position = ReplayPosition::new(last, 0, None, stream.ends.last);
    }

    /// Goes on behind an event that cannot be received, with its error, unless it is outside of the replay.
    fn pass_over(&mut self, message: &StoredMessage, flaw: &'static str) {
        let sequence = message.sequence;
        let is_beyond = self.position.is_beyond(sequence);
        self.position.pass_one(sequence);
        match self.position.is_at_end() {
            true => self.state = State::Finished,
            false => self.reopen(Duration::ZERO, true),
        }
        if !is_beyond {
            let text = format!(
                "event {sequence} of stream `{}`: {flaw}",
                self.source.stream
            );
            self.errors.push_back(Reason::BadHeader.status(text));
        }
    }

    /// Returns the error for events that were removed.
    fn removed(&self, gap: &RangeInclusive<u64>) -> Status {
        let (first, last) = (gap.start(), gap.end());
        let events = match first == last {
            true => format!("event {first} of stream `{}` was", self.source.stream),
            false => format!(
                "events {first} to {last} of stream `{}` were",
                self.source.stream
            ),
        };
        Reason::EventsLost.status(format!(
            "{events} removed before the replay could read them"
        ))
    }

    /// Checks for events that were removed in front of what the consumer has sent; their error comes before it.
    fn check(&mut self, received: ReplayItem, stream: ReplayedStream) {
        if stream.created_ns != self.created_ns {
            let cause = "its stream was declared again".to_owned();
            return self.interrupted(ReadError::Lost(cause));
        }
        let (next, pending) = match &received {
            ReplayItem::Event(_, delivery) => (delivery.sequence(), delivery.pending() + 1),
            ReplayItem::Idle(sequence) => (sequence + 1, 0),
        };
        if let Some(gap) = self.position.gap(next, pending, stream.ends) {
            self.errors.push_back(self.removed(&gap));
        }
        if let ReplayItem::Idle(_) = received
            && self.position.is_beyond_stream(stream.ends)
        {
            self.begin_anew(stream);
        } else {
            self.received = Some(received);
        }
    }

    /// Goes on to what the consumer has sent; returns the item for it, if it is one.
    fn take(&mut self, received: ReplayItem) -> Option<Result<DurableEvent<E>, Status>> {
        let is_event = matches!(received, ReplayItem::Event(..));
        let item = match received {
            ReplayItem::Idle(sequence) => {
                self.position.pass(sequence, 0);
                None
            }
            ReplayItem::Event(_, delivery) if delivery.sequence() <= self.position.passed() => None,
            ReplayItem::Event(message, delivery) => self.read(message, delivery),
        };
        if self.position.is_at_end() {
            self.state = State::Finished;
        } else if let State::Reading(reader) = &mut self.state
            && is_event
            && self.position.may_be_at_end()
        {
            reader.consumer.probe();
        }
        item
    }

    /// Reads one message; `None` for one outside of the replay.
    ///
    /// Messages before `start` and behind the end are skipped, and so are delete markers of JetStream.
    fn read(
        &mut self,
        message: Message,
        delivery: Delivery,
    ) -> Option<Result<DurableEvent<E>, Status>> {
        let sequence = delivery.sequence();
        let is_after_start = match self.start {
            StartFrom::Sequence(first) => sequence >= first,
            StartFrom::Time(first) => delivery.time() >= first,
            StartFrom::First | StartFrom::New => true,
        };
        let is_beyond = self.position.is_beyond(sequence);
        self.position.pass(sequence, delivery.pending());
        self.last_read = sequence;
        if !is_after_start || is_beyond || delete_marker(message.headers.as_ref()).is_some() {
            return None;
        }
        let event = event::decode_message(message.headers.as_ref(), message.payload);
        Some(event.map(|event| DurableEvent { event, delivery }))
    }

    /// Goes on where the consumer delivers no more.
    fn interrupted(&mut self, error: ReadError) {
        match error {
            ReadError::Refused(status) => {
                let wait = match status.reason() {
                    Some(Reason::NotPermitted) => Duration::ZERO,
                    _ => REFUSED_BACKOFF,
                };
                self.reopen(wait, false);
                self.errors.push_back(status);
            }
            ReadError::Lost(_) if self.source.bus.consuming().is_closed() => {
                self.state = State::Finished;
                let closed = "the replay has ended: the bus was closed";
                self.errors.push_back(Reason::Disconnected.status(closed));
            }
            ReadError::Lost(cause) => {
                let reopening = self.source.reopen_lost(self.next_start(), cause);
                self.state = State::Reopening(reopening);
            }
        }
    }
}

impl<E: Event> Stream for Replay<E> {
    type Item = Result<DurableEvent<E>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(status) = this.errors.pop_front() {
                return Poll::Ready(Some(Err(status)));
            }
            if let Some(received) = this.received.take() {
                if let Some(item) = this.take(received) {
                    return Poll::Ready(Some(item));
                }
                continue;
            }
            match &mut this.state {
                State::Finished => return Poll::Ready(None),
                State::Reopening(reopening) => match ready!(reopening.poll_unpin(cx)) {
                    Ok(reopened) => this.reopened(reopened),
                    Err(status) => this.not_reopened(status),
                },
                State::Reading(reader) => match ready!(reader.poll_next(&this.position, cx)) {
                    Ok((received, Some(stream))) => this.check(received, stream),
                    Ok((received, None)) => this.received = Some(received),
                    Err(error) => this.interrupted(error),
                },
            }
        }
    }
}

impl<E> fmt::Debug for Replay<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("stream", &self.source.stream)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
