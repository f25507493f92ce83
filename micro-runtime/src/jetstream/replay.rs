//! `Replay`: a stream's events read again in order, without acknowledging anything.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt, ready};
use tokio::time::{Instant, Interval, interval};

use crate::bus::Bus;
use crate::context::Delivery;
use crate::event;
use crate::event::{Event, EventFilter as _};
use crate::jetstream::batch::DurableEvent;
use crate::jetstream::durable::StartFrom;
use crate::jetstream::pull::connects;
use crate::jetstream::stream::name_on;
use crate::status::{Reason, Status};

const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(500);
const FIRST_REST: Duration = Duration::from_millis(100);
const LAST_REST: Duration = Duration::from_secs(5);
/// So long a replay that was cut off tries to go on before it says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a replay is to read; [`open`](Self::open) begins it.
#[must_use = "a replay begins once it is opened"]
pub struct ReplayBuilder<E: Event> {
    bus: Bus,
    stream: Option<String>,
    filter: E::Filter,
    start: StartFrom,
    is_following: bool,
}

/// Stored events in the stream's order, each once: a `Stream` that leaves nothing behind and that
/// survives lost connections.
///
/// A payload that is no event is an `Err` in its place, and the replay goes on behind it.
#[must_use = "a replay reads as it is polled"]
pub struct Replay<E> {
    reading: Reading,
    bus: Bus,
    stream: Arc<str>,
    filter: String,
    look: Interval,
    connects: u64,
    /// What is before that is not asked for, whatever a consumer that was made anew sends.
    from: StartFrom,
    last: u64,
    ends_at: Option<u64>,
    is_over: bool,
    event: PhantomData<fn() -> E>,
}

enum Reading {
    Messages(Box<Ordered>),
    Opening(BoxFuture<'static, Result<Ordered, Status>>),
}

impl Bus {
    /// Reads stored events again, in order, from the first to the last that is stored now.
    ///
    /// # Errors
    ///
    /// `UNIMPLEMENTED` on a bus inside one process, `NOT_FOUND` when no stream stores the events,
    /// `UNAVAILABLE` when JetStream does not answer.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let mut trades = bus.replay::<Trade>().start_from(StartFrom::Time(yesterday)).open().await?;
    /// while let Some(trade) = trades.next().await.transpose()? {
    ///     println!("{}: {}", trade.delivery.sequence(), trade.price);
    /// }
    /// ```
    pub fn replay<E: Event>(&self) -> ReplayBuilder<E> {
        ReplayBuilder {
            bus: self.clone(),
            stream: None,
            filter: E::Filter::default(),
            start: StartFrom::First,
            is_following: false,
        }
    }
}

impl<E: Event> ReplayBuilder<E> {
    /// Where to begin. [`StartFrom::First`] by default.
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.start = start;
        self
    }

    /// Reads only the events that the filter picks.
    pub fn filter(mut self, filter: E::Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Reads from this stream. By default from the one that stores the events' subjects.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Goes on with what is stored from now on, and never ends.
    pub fn follow(mut self) -> Self {
        self.is_following = true;
        self
    }

    /// Begins to read.
    ///
    /// # Errors
    ///
    /// As [`Bus::replay`].
    pub async fn open(self) -> Result<Replay<E>, Status> {
        let api = &self.bus.connection().jetstream_or_status()?.api;
        let filter = self.bus.subject(&self.filter.subject()?).into_string();
        let name = match &self.stream {
            Some(name) => name_on(&self.bus, name),
            None => api
                .stream_by_subject(filter.as_str())
                .await
                .map_err(|error| {
                    Status::not_found(format!("no stream stores `{filter}`")).with_source(error)
                })?,
        };
        let stream = api
            .get_stream(&name)
            .await
            .map_err(|error| unreadable(&name, error))?;
        let last = stream.cached_info().state.last_sequence;
        let start = match self.start {
            // A number stays what it is when the consumer has to be made anew.
            StartFrom::New => StartFrom::Sequence(last + 1),
            start => start,
        };
        let (consumer, pending) = consumer(&self.bus, &name, &filter, start).await?;
        let messages = read(&name, consumer).await?;
        Ok(Replay {
            reading: Reading::Messages(Box::new(messages)),
            bus: self.bus.clone(),
            stream: name.into(),
            filter,
            look: interval(HEALTH_CHECK_INTERVAL),
            connects: connects(self.bus.connection()),
            from: start,
            last: 0,
            ends_at: (!self.is_following).then_some(last),
            is_over: pending == 0 && !self.is_following,
            event: PhantomData,
        })
    }
}

impl<E: Event> Replay<E> {
    /// The next event; `None` after the last.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a payload that is no event; the next call goes on behind it.
    /// `UNAVAILABLE` when the stream could not be read for 30 s; the next call tries again.
    pub async fn next(&mut self) -> Option<Result<DurableEvent<E>, Status>> {
        StreamExt::next(self).await
    }

    /// Says whether the connection was lost since the last look: the consumer may be gone with its
    /// server, and async-nats would find out by missing heartbeats.
    fn is_forgotten(&mut self, cx: &mut TaskContext<'_>) -> bool {
        while self.look.poll_tick(cx).is_ready() {
            let connects = connects(self.bus.connection());
            if connects != self.connects {
                self.connects = connects;
                return true;
            }
        }
        false
    }

    /// Makes the consumer anew, behind what was read.
    fn reopen(&self) -> BoxFuture<'static, Result<Ordered, Status>> {
        let (bus, stream, filter) = (
            self.bus.clone(),
            Arc::clone(&self.stream),
            self.filter.clone(),
        );
        let start = match self.last {
            0 => self.from,
            last => StartFrom::Sequence(last + 1),
        };
        let reopened = async move {
            let mut rest = FIRST_REST;
            let give_up = Instant::now() + PATIENCE;
            loop {
                let opened = async {
                    let (consumer, _) = consumer(&bus, &stream, &filter, start).await?;
                    read(&stream, consumer).await
                };
                match opened.await {
                    Ok(messages) => return Ok(messages),
                    Err(status) if Instant::now() + rest > give_up => return Err(status),
                    Err(status) => tracing::warn!(%status, "tries again to replay"),
                }
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(LAST_REST);
            }
        };
        reopened.boxed()
    }

    /// Reads one message; `None` for one that was not asked for or was read before.
    fn read(&mut self, message: Message) -> Option<Result<DurableEvent<E>, Status>> {
        let message: async_nats::Message = message.into();
        let delivery = Delivery::parse(&self.stream, message.reply.as_deref()?)?;
        let sequence = delivery.sequence();
        let is_wanted = match self.from {
            StartFrom::Sequence(first) => sequence >= first,
            StartFrom::Time(first) => delivery.time() >= first,
            StartFrom::First | StartFrom::New => true,
        };
        if sequence <= self.last {
            return None;
        }
        self.last = sequence;
        if let Some(end) = self.ends_at {
            self.is_over = delivery.pending() == 0 || sequence >= end;
        }
        if !is_wanted || self.ends_at.is_some_and(|end| sequence > end) {
            return None;
        }
        let event = event::decode_message(message.headers.as_ref(), message.payload);
        Some(event.map(|event| DurableEvent { event, delivery }))
    }
}

impl<E: Event> Stream for Replay<E> {
    type Item = Result<DurableEvent<E>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            let messages = match &mut self.reading {
                Reading::Messages(messages) => messages,
                Reading::Opening(opening) => {
                    let opened = ready!(opening.poll_unpin(cx));
                    self.reading = match opened {
                        Ok(messages) => Reading::Messages(Box::new(messages)),
                        Err(status) => {
                            self.reading = Reading::Opening(self.reopen());
                            return Poll::Ready(Some(Err(status)));
                        }
                    };
                    continue;
                }
            };
            let polled = messages.poll_next_unpin(cx);
            if polled.is_pending() && self.is_forgotten(cx) {
                self.reading = Reading::Opening(self.reopen());
                continue;
            }
            match ready!(polled) {
                Some(Ok(message)) => {
                    if let Some(item) = self.read(message) {
                        return Poll::Ready(Some(item));
                    }
                }
                lost => {
                    let error = lost.and_then(Result::err);
                    tracing::warn!(
                        stream = &*self.stream,
                        ?error,
                        "a replay was cut off; begins again behind what was read"
                    );
                    self.reading = Reading::Opening(self.reopen());
                }
            }
        }
        Poll::Ready(None)
    }
}

impl<E: Event> fmt::Debug for ReplayBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBuilder")
            .field("event", &E::DESCRIPTOR.full_name)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for Replay<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("stream", &self.stream)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// Makes a consumer that keeps order, and says how many events wait for it.
async fn consumer(
    bus: &Bus,
    stream: &str,
    filter: &str,
    start: StartFrom,
) -> Result<(Consumer<OrderedConfig>, u64), Status> {
    let api = &bus.connection().jetstream_or_status()?.api;
    let config = OrderedConfig {
        filter_subject: filter.to_owned(),
        deliver_policy: start.policy(),
        ..OrderedConfig::default()
    };
    let consumer = api.create_consumer_on_stream(config, stream).await;
    let consumer = consumer.map_err(|error| unreadable(stream, error))?;
    let pending = consumer.cached_info().num_pending;
    Ok((consumer, pending))
}

async fn read(stream: &str, consumer: Consumer<OrderedConfig>) -> Result<Ordered, Status> {
    let messages = consumer.messages().await;
    messages.map_err(|error| unreadable(stream, error))
}

fn unreadable(stream: &str, error: impl std::error::Error + Send + Sync + 'static) -> Status {
    Reason::NotStored
        .status(format!("stream `{stream}` cannot be read: {error}"))
        .with_source(error)
}
