//! `Publish`: publishes one event, or raw bytes, to the current subscribers.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::bus::{Bus, Connection, Outgoing, PublishError};
use crate::client::{MessageOptions, call_option_methods};
use crate::event;
use crate::event::event::Event;
use crate::event::publish_budget::poll_budget;
use crate::observe;
use crate::status::Status;
use crate::subject;
use crate::wire;
use crate::wire::PayloadFormat;

/// An event with its options, made by [`Bus::publish`] and [`Bus::publish_raw`]; awaiting it publishes it.
///
/// The event was encoded when this was made. An error of its fields or headers is returned when it is
/// awaited, so that options can be chained.
///
/// # Examples
///
/// ```
/// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
/// use market::Trade;
/// use micro_runtime::{Bus, Status};
///
/// async fn publish_again(bus: &Bus, trade: &Trade) -> Result<(), Status> {
///     bus.publish(trade).header("source", "replay").await
/// }
/// ```
#[must_use = "an event is published when it is awaited"]
pub struct Publish {
    connection: Arc<Connection>,
    /// Full name of the event for errors, spans and metrics, or [`RAW_NAME`].
    name: &'static str,
    /// Subject and payload, or why the event has no subject.
    event: Result<(Subject, Bytes), Status>,
    /// Format of the payload; `None` for raw bytes, which are sent as they are.
    format: Option<PayloadFormat>,
    /// Metadata and parent.
    options: MessageOptions,
}

/// Future of a [`Publish`]; ready once the connection has taken the event.
///
/// Dropping it before it is ready may or may not have published the event: it is then in the queue of
/// the connection, or was never sent.
#[must_use = "an event is published when it is awaited"]
pub struct PublishFuture {
    publish: Publish,
    state: State,
}

enum State {
    Ready,
    /// The connection's queue is full.
    Waiting(PendingPublish),
    /// NATS has just refused the subject, and nothing is sent.
    KeptBack,
    Done,
}

type PendingPublish = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

/// Name of payloads of [`Bus::publish_raw`] in errors and metrics.
const RAW_NAME: &str = "raw bytes";

impl Bus {
    /// Publishes an event to the current subscribers, of which there may be none: at most once.
    ///
    /// When the returned [`Publish`] has been awaited, the connection has taken the event. Events leave in
    /// the order in which they were published. Nothing confirms that an event arrived, and a connection
    /// that is lost loses those that it had not written; where that matters, use `publish_durable`
    /// (feature `jetstream`). So does a program that ends right after it: [`flush`](Self::flush) before.
    ///
    /// An event that NATS refuses is lost without an error, and counted ([`refused_events`](Self::refused_events)); for
    /// 100 ms after that further events to its subject are not sent, but for a trial, and counted as well.
    ///
    /// Awaiting it waits while the connection's queue is full, and now and then lets other tasks run
    /// first. A loop that publishes needs no pause of its own.
    ///
    /// # Errors
    ///
    /// Awaiting it fails with `INVALID_ARGUMENT` as [`Event::subject`] and
    /// [`Metadata::append`](crate::Metadata::append), `RESOURCE_EXHAUSTED` if the event does not fit into one
    /// NATS message (1 MiB by default, set by the server), and `UNAVAILABLE` (reason
    /// [`Disconnected`](crate::Reason::Disconnected)) while the connection is lost, unless it waits, and once it is
    /// closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
    /// use market::Trade;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = micro_runtime::Bus::in_process();
    /// let mut all = bus.subscribe_raw("evt.market.>").open().await?;
    /// bus.publish(&Trade { venue: "kraken".into(), symbol: "BTC-USD".into(), price: 1.5 }).await?;
    /// let event = all.next().await.ok_or("closed")?;
    /// assert_eq!(event.context.subject(), Some("evt.market.trade.kraken.BTC-USD"));
    /// # Ok(()) }
    /// ```
    pub fn publish<E: Event>(&self, event: &E) -> Publish {
        let outgoing = self
            .event_subject(event)
            .map(|subject| (subject, wire::encode(event)));
        let format = Some(PayloadFormat::EVENT);
        self.publish_as(E::DESCRIPTOR.full_name, outgoing, format)
    }

    /// Publishes bytes under a subject of your own, for payloads that are no protobuf events. The prefix
    /// of the bus, if it has one, is put before the subject.
    ///
    /// # Errors
    ///
    /// Awaiting it fails with `INVALID_ARGUMENT` for a subject with an empty token, white space or a
    /// wildcard, or of more than 3,072 bytes; otherwise as [`publish`](Self::publish).
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn run() -> Result<(), micro_runtime::Status> {
    /// let bus = micro_runtime::Bus::in_process();
    /// bus.publish_raw("evt.audit.login", "ada").await?;
    /// # Ok(()) }
    /// ```
    pub fn publish_raw(&self, subject: impl AsRef<str>, payload: impl Into<Bytes>) -> Publish {
        let subject = subject.as_ref();
        let outgoing = match subject::raw_flaw(subject, false) {
            None => Ok((self.subject(subject), payload.into())),
            Some(flaw) => Err(Status::invalid_argument(format!(
                "nothing can be published to `{}`: {flaw}",
                subject.escape_debug()
            ))),
        };
        self.publish_as(RAW_NAME, outgoing, None)
    }

    /// Returns the subject of an event on this bus, with its prefix.
    ///
    /// It is written into the buffer that small messages of this thread share. So it costs no allocation
    /// but once per buffer, neither here nor in async-nats, which clones the subject of every message.
    ///
    /// # Errors
    ///
    /// As [`Event::subject`].
    pub(crate) fn event_subject<E: Event>(&self, event: &E) -> Result<Subject, Status> {
        if E::DESCRIPTOR.fields.is_empty() && self.prefix().is_none() {
            return Ok(Subject::from_static(E::DESCRIPTOR.template));
        }
        let bytes = wire::with_shared_buffer(|buffer| {
            event::write(event, self.prefix(), buffer)?;
            Ok::<Bytes, Status>(buffer.split().freeze())
        })?;
        Subject::from_utf8(bytes).map_err(|error| {
            let name = E::DESCRIPTOR.full_name;
            Status::internal(format!("the subject of {name} is no text")).with_source(error)
        })
    }

    fn publish_as(
        &self,
        name: &'static str,
        event: Result<(Subject, Bytes), Status>,
        format: Option<PayloadFormat>,
    ) -> Publish {
        Publish {
            connection: Arc::clone(self.calling()),
            name,
            event,
            format,
            options: MessageOptions::new(),
        }
    }
}

impl Publish {
    call_option_methods! { (options):
        headers;
        wait_for_ready;
        /// Makes the event part of the trace of the call or event that `ctx` belongs to: its trace headers
        /// are forwarded. Deadline and end of `ctx` have no effect on it.
        within;
    }

    /// Returns the headers; `None` if there is neither metadata nor a trace, so that the event takes the
    /// short path of messages without headers.
    fn headers(&self, subject: &str) -> Result<Option<HeaderMap>, Status> {
        let span = observe::publish_span(self.name, subject);
        self.options.headers(&span)
    }

    /// Brings the payload into its format, and returns the headers.
    fn write_payload(&mut self) -> Result<Option<HeaderMap>, Status> {
        let subject = match &self.event {
            Ok((subject, _)) => subject,
            Err(status) => return Err(status.clone()),
        };
        let mut headers = self.headers(subject)?;
        if let (Some(format), Ok((_, payload))) = (self.format, &mut self.event) {
            *payload = wire::write_payload(&mut headers, format, std::mem::take(payload));
        }
        Ok(headers)
    }

    fn payload_len(&self) -> usize {
        self.event.as_ref().map_or(0, |(_, payload)| payload.len())
    }

    /// Counts an event that was sent, or turns the carrier's error into a status.
    fn outcome(&self, sent: Result<(), PublishError>) -> Result<(), Status> {
        if let Err(error) = sent {
            let length = self.payload_len();
            let subject = self
                .event
                .as_ref()
                .map_or("", |(subject, _)| subject.as_str());
            let what = format_args!("{} to `{subject}`, {length} bytes,", self.name);
            return Err(error.into_status(what));
        }
        observe::published(self.name);
        Ok(())
    }
}

impl PublishFuture {
    /// Puts the event into the connection's queue.
    ///
    /// The usual case is a queue with room and no headers: the event is sent in this one poll, without an
    /// allocation. If the queue is full, the attempt has sent nothing and is made anew by a boxed future
    /// that waits for room.
    fn send(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        let headers = self.publish.write_payload()?;
        let publish = &self.publish;
        let (subject, payload) = match &publish.event {
            Ok(event) => event,
            Err(status) => return Poll::Ready(Err(status.clone())),
        };
        let outgoing = |headers| Outgoing {
            headers,
            ..Outgoing::to(subject.clone(), payload.clone())
        };
        let connection = &publish.connection;
        if connection.drops_event(|| outgoing(headers.clone())) {
            // Others first: no full queue holds up a loop that publishes such events.
            self.state = State::KeptBack;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let retained_headers = headers.clone();
        let sent = match headers {
            None => connection.try_publish(subject, payload),
            headers => pin!(connection.publish(outgoing(headers))).poll(cx),
        };
        let waits = publish.options.waits_for_ready;
        match sent {
            Poll::Pending => {}
            Poll::Ready(Err(PublishError::Disconnected)) if waits => {}
            Poll::Ready(sent) => return Poll::Ready(publish.outcome(sent)),
        }
        let (connection, retry) = (Arc::clone(connection), outgoing(retained_headers));
        let mut pending: PendingPublish =
            Box::pin(async move { connection.publish_when_ready(retry, waits).await });
        let polled = pending.as_mut().poll(cx);
        if polled.is_pending() {
            self.state = State::Waiting(pending);
        }
        polled.map(|sent| self.publish.outcome(sent))
    }
}

impl IntoFuture for Publish {
    type Output = Result<(), Status>;
    type IntoFuture = PublishFuture;

    fn into_future(self) -> PublishFuture {
        PublishFuture {
            publish: self,
            state: State::Ready,
        }
    }
}

impl Future for PublishFuture {
    type Output = Result<(), Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &mut this.state {
            State::Ready => {
                ready!(poll_budget(this.publish.payload_len(), cx));
                this.state = State::Done;
                this.send(cx)
            }
            State::Waiting(pending) => {
                let sent = ready!(pending.as_mut().poll(cx));
                this.state = State::Done;
                Poll::Ready(this.publish.outcome(sent))
            }
            State::KeptBack => {
                this.state = State::Done;
                Poll::Ready(this.publish.outcome(Ok(())))
            }
            State::Done => Poll::Pending,
        }
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.event.as_ref().map(|(subject, _)| subject.as_str());
        f.debug_struct("Publish")
            .field("name", &self.name)
            .field("subject", &subject)
            .field("metadata", &self.options.metadata)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PublishFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishFuture").finish_non_exhaustive()
    }
}
