//! `Publish`: one event, or bytes, on its way to whoever listens now.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use tokio::task::coop::{has_budget_remaining, poll_proceed};

use crate::bus::{Bus, Connection, Outgoing, PublishError};
use crate::client::{CallOptions, call_option_methods};
use crate::event;
use crate::event::event::Event;
use crate::observe;
use crate::status::Status;
use crate::subject;
use crate::wire;

/// An event to be published. It leaves when this is awaited.
///
/// # Examples
///
/// ```ignore
/// bus.publish(&trade).header("source", "replay").await?;
/// ```
#[must_use = "an event is published when it is awaited"]
pub struct Publish {
    connection: Arc<Connection>,
    /// What is published, for messages.
    name: &'static str,
    /// The event's subject and bytes, or why it has none.
    event: Result<(Subject, Bytes), Status>,
    /// Metadata and parent; a publish has no timeout and no retry.
    options: CallOptions,
}

/// The end of a [`Publish`]: the connection has taken the event.
#[must_use = "an event is published when it is awaited"]
pub struct PublishFuture {
    publish: Publish,
    state: State,
}

enum State {
    Ready,
    Sending(Sending),
    Done,
}

type Sending = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

/// So many small events without headers cost as much of what tokio lets a task do at a time as
/// anything else does once: so many more leave in one write.
const EVENTS_A_STEP: usize = 8;
/// So many bytes count as one more event.
const EVENT: usize = 256;

thread_local! {
    /// What this thread has published of a step.
    static PUBLISHED: Cell<usize> = const { Cell::new(0) };
}

/// What [`Bus::publish_raw`] publishes, for messages.
const RAW: &str = "raw bytes";

impl Bus {
    /// Publishes an event to everybody who is subscribed now: at most once, and nobody may be there.
    ///
    /// When it returns the connection has taken the event, and sends it in the order in which this
    /// was called. Nothing confirms that it arrived: a lost connection loses what it had taken.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` as [`Event::subject`] and [`Metadata::append`](crate::Metadata::append),
    /// `RESOURCE_EXHAUSTED` for what does not fit into one NATS message, `UNAVAILABLE` when the
    /// connection is closed.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// bus.publish(&Trade { venue: "kraken".into(), price: 1.5, ..Trade::default() }).await?;
    /// ```
    pub fn publish<E: Event>(&self, event: &E) -> Publish {
        let outgoing = self
            .event_subject(event)
            .map(|subject| (subject, wire::encode(event)));
        self.publish_as(E::DESCRIPTOR.full_name, outgoing)
    }

    /// Publishes bytes under a subject, behind the prefix of the bus: for what is no protobuf.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a subject with an empty token, white space or a wildcard; the others as
    /// [`publish`](Self::publish).
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
        self.publish_as(RAW, outgoing)
    }

    /// The subject of an event on this bus. Costs no allocation, but where the thread's buffer is full.
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

    fn publish_as(&self, name: &'static str, event: Result<(Subject, Bytes), Status>) -> Publish {
        Publish {
            connection: Arc::clone(self.connection()),
            name,
            event,
            options: CallOptions::new(),
        }
    }
}

impl Publish {
    call_option_methods! { (options):
        header;
        /// Puts the event into the trace of the call or event that `ctx` belongs to.
        within;
    }

    /// What the headers are to say; `None` where there is nothing to say.
    fn headers(&self, subject: &str) -> Result<Option<HeaderMap>, Status> {
        let span = observe::publish_span(self.name, subject);
        self.options.headers(&span)
    }

    /// The length of the event's bytes.
    fn length(&self) -> usize {
        self.event.as_ref().map_or(0, |(_, payload)| payload.len())
    }

    fn ended(&self, sent: Result<(), PublishError>) -> Result<(), Status> {
        if let Err(error) = sent {
            let length = self.length();
            return Err(error.into_status(format_args!("{}, {length} bytes,", self.name)));
        }
        observe::published(self.name);
        Ok(())
    }
}

impl PublishFuture {
    /// Hands the event over. On the usual path the connection's queue takes it at once; only where
    /// it is full does a boxed future wait for room.
    fn send(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        let publish = &self.publish;
        let (subject, payload) = match &publish.event {
            Ok(event) => event,
            Err(status) => return Poll::Ready(Err(status.clone())),
        };
        let outgoing = |headers| Outgoing {
            headers,
            ..Outgoing::to(subject.clone(), payload.clone())
        };
        let headers = publish.headers(subject)?;
        let again = headers.clone();
        let connection = &publish.connection;
        let sent = match headers {
            None => connection.try_publish(subject, payload, cx),
            headers => pin!(connection.publish(outgoing(headers))).poll(cx),
        };
        if let Poll::Ready(sent) = sent {
            return Poll::Ready(publish.ended(sent));
        }
        let (connection, again) = (Arc::clone(connection), outgoing(again));
        let mut sending: Sending = Box::pin(async move { connection.publish(again).await });
        let polled = sending.as_mut().poll(cx);
        if polled.is_pending() {
            self.state = State::Sending(sending);
        }
        polled.map(|sent| self.publish.ended(sent))
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
                ready!(poll_turn(this.publish.length(), cx));
                this.state = State::Done;
                this.send(cx)
            }
            State::Sending(sending) => {
                let sent = ready!(sending.as_mut().poll(cx));
                this.state = State::Done;
                Poll::Ready(this.publish.ended(sent))
            }
            State::Done => Poll::Pending,
        }
    }
}

/// Ready, but where a task has published so much that others are to have their turn.
fn poll_turn(length: usize, cx: &mut TaskContext<'_>) -> Poll<()> {
    let published = PUBLISHED.get() + 1 + length / EVENT;
    // Who is out of turn waits, as the others do that publish in the same task: they keep their order.
    if published < EVENTS_A_STEP && has_budget_remaining() {
        PUBLISHED.set(published);
        return Poll::Ready(());
    }
    PUBLISHED.set(0);
    ready!(poll_proceed(cx)).made_progress();
    Poll::Ready(())
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
