//! `DurablePublish`: publishes one durable event, awaited or in the background.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use crate::bus::{Bus, Connection, NoRuntime, instant_after};
use crate::client::{CallOptions, call_option_methods};
use crate::context::{TimeLimit, TimeoutSource};
use crate::event::Event;
use crate::jetstream::acked_publish::{AckedPublish, PublishAck};
use crate::status::{Reason, Status};
use crate::sync::lock;
use crate::wire;
use crate::wire::PayloadFormat;

/// Default time for which an event is sent again. A leader that dies is replaced within 5 to 6 s; this
/// leaves room for a second election.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Future of a [`DurablePublish`].
pub type DurablePublishFuture = Pin<Box<dyn Future<Output = Result<PublishAck, Status>> + Send>>;

/// A durable event with its options, made by [`Bus::publish_durable`]; awaiting it stores it.
///
/// The event is sent again under the same id, for 20 s by default, while JetStream does not acknowledge
/// it, as during the election of a leader. The stream stores an id once, so repetitions do no harm.
///
/// Dropping the future ends the attempts; the event may be stored all the same.
#[must_use = "an event is published once this is awaited"]
pub struct DurablePublish {
    connection: Arc<Connection>,
    /// Limit of the publisher that made this; otherwise that of the connection holds.
    permits: Option<Arc<Semaphore>>,
    /// Failure that the publisher's next flush returns.
    first_failure: Option<Arc<Mutex<Option<Status>>>>,
    /// Subject and payload, or why the event has no subject.
    event: Result<(Subject, Bytes), Status>,
    id: Option<String>,
    /// Timeout, metadata and parent; a publish ignores `may_retry`.
    options: CallOptions,
}

/// Handle of an event that was [sent](DurablePublish::send); ready once it is acknowledged or has failed.
///
/// A task sends the event again where necessary, whether the handle is awaited, kept or dropped.
#[must_use = "an event that is not acknowledged may be lost"]
pub struct PublishHandle(JoinHandle<Result<PublishAck, Status>>);

impl DurablePublish {
    pub(super) fn new<E: Event>(bus: &Bus, event: &E) -> Self {
        let subject = bus.event_subject(event);
        Self {
            connection: Arc::clone(bus.calling()),
            permits: None,
            first_failure: None,
            event: subject.map(|subject| (subject, wire::encode(event))),
            id: None,
            options: CallOptions::new(),
        }
    }

    /// Sets the limit, the place for failures and the timeout of a publisher.
    pub(super) fn within_limits(
        mut self,
        permits: &Arc<Semaphore>,
        first_failure: &Arc<Mutex<Option<Status>>>,
        timeout: Duration,
    ) -> Self {
        self.permits = Some(Arc::clone(permits));
        self.first_failure = Some(Arc::clone(first_failure));
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets the id of the event, `Nats-Msg-Id`. Within the stream's window of duplicates, 2 minutes by
    /// default, an id is stored once, however often and by whichever process it is published.
    ///
    /// Without it the event gets a random id: it is stored once as far as this publish sends it again, and
    /// publishing it anew stores it anew. An empty id, or one with a control character, is
    /// `INVALID_ARGUMENT`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    call_option_methods! { (options):
        /// The event is sent again within this time while it is not acknowledged. The default is 20 s; less
        /// than 15 s may not outlast the death of a cluster's leader.
        timeout;
        headers;
        /// It waits for a stream that stores the event as well, which another program may declare until the timeout.
        wait_for_ready;
        /// Publishes as part of the call or event that `ctx` belongs to: with its trace, and until its
        /// deadline at the latest.
        within;
    }

    /// Sends the event once, and leaves acknowledgment and repetitions to a task. Returns as soon as the
    /// connection has taken the event; waits only while the limit of events in flight is reached.
    ///
    /// Events that are sent one after the other are stored in this order, unless one must be sent again.
    ///
    /// # Errors
    ///
    /// Those of [`Bus::publish_durable`] that occur before sending: an invalid event, id or header, and
    /// `RESOURCE_EXHAUSTED` if the limit was reached until the timeout. Later ones are those of the
    /// [`PublishHandle`].
    pub async fn send(self) -> Result<PublishHandle, Status> {
        let first_failure = self.first_failure.clone();
        let (publish, permit) = self.prepare().await?;
        let sent = publish.send().await;
        let task = tokio::spawn(async move {
            let result = publish.wait_for_ack(sent).await;
            if let (Err(status), Some(first_failure)) = (&result, first_failure) {
                lock(&first_failure).get_or_insert_with(|| status.clone());
            }
            // After the failure is noted: `flush` takes all permits and then reads it.
            drop(permit);
            result
        });
        Ok(PublishHandle(task))
    }

    /// Checks the options and waits for a permit, until the deadline.
    async fn prepare(self) -> Result<(AckedPublish, OwnedSemaphorePermit), Status> {
        NoRuntime::check().map_err(|none| none.into_status("an event is not published"))?;
        let now = Instant::now();
        let (timeout, source) = match self.options.timeout {
            Some(timeout) => (timeout, TimeoutSource::Call),
            None => (DEFAULT_TIMEOUT, TimeoutSource::Protocol),
        };
        let own = TimeLimit {
            deadline: instant_after(now, timeout),
            timeout,
            source,
        };
        let limit = self.options.within_parent(now, Some(own));
        let limit = limit.unwrap_or(own);
        let permits = match self.permits {
            Some(permits) => permits,
            None => Arc::clone(&self.connection.jetstream_or_status()?.in_flight),
        };
        let (subject, payload) = self.event?;
        let mut headers = self.options.headers(&Span::none())?;
        let payload = wire::write_payload(&mut headers, PayloadFormat::EVENT, payload);
        let id = self.id.unwrap_or_else(|| nuid::next().to_string());
        if id.is_empty() || id.chars().any(char::is_control) {
            let text = format!(
                "`{}` cannot be an event's id: it is empty or has a control character",
                id.escape_debug()
            );
            return Err(Reason::BadHeader.status(text));
        }
        // Without a timer where a permit is free, as nearly always.
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match timeout_at(limit.deadline, permits.acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                _ => {
                    let text = format!(
                        "`{subject}` was not sent within {limit}: too many events wait to be acknowledged"
                    );
                    return Err(Reason::Overloaded.status(text));
                }
            },
        };
        let publish = AckedPublish {
            connection: self.connection,
            subject,
            id,
            headers,
            payload,
            limit,
            waits_for_ready: self.options.message.waits_for_ready,
        };
        Ok((publish, permit))
    }
}

impl IntoFuture for DurablePublish {
    type Output = Result<PublishAck, Status>;
    type IntoFuture = DurablePublishFuture;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (publish, _permit) = self.prepare().await?;
            publish.run().await
        })
    }
}

impl Future for PublishHandle {
    type Output = Result<PublishAck, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined.unwrap_or_else(|error| {
                let text = "the task that published the event was ended";
                Err(Reason::NotStored.status(text).with_source(error))
            })
        })
    }
}

impl Bus {
    /// Publishes an event into the stream that stores its subject; awaiting the returned
    /// [`DurablePublish`] waits until it is stored. Subscribers of the subject receive it as well.
    ///
    /// At most 4,096 events of one connection wait for their acknowledgments at a time; further ones wait
    /// to be sent. For many events use a [`DurablePublisher`](crate::jetstream::DurablePublisher).
    ///
    /// # Errors
    ///
    /// - `INVALID_ARGUMENT`: a field has no place in the subject, or the id or a header is invalid.
    /// - `UNIMPLEMENTED`: the bus is inside one process.
    /// - `PERMISSION_DENIED`: NATS does not let this user publish the event, or receive the acknowledgment. It is
    ///   not sent again.
    /// - `FAILED_PRECONDITION`, `ABORTED`: the stream rejects the event, as one that is sealed, or in another state
    ///   than a header expects. An event that is too large for it is `INVALID_ARGUMENT`.
    /// - `RESOURCE_EXHAUSTED`: the stream is full and [refuses](crate::jetstream::EventStream::refuse_when_full) it,
    ///   too many events waited for their acknowledgments until the timeout, or the event does not fit into a NATS
    ///   message.
    /// - `UNAVAILABLE`: no stream stores the event, which is found out at once; or it was not acknowledged in time, as
    ///   without JetStream or a leader of the stream. The message states the cause, and whether the event may be
    ///   stored. Publishing it again with the same id is safe.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
    /// use market::Trade;
    /// use micro_runtime::{Bus, Status};
    ///
    /// async fn record(bus: &Bus, order_id: &str, trade: &Trade) -> Result<u64, Status> {
    ///     let ack = bus.publish_durable(trade).id(order_id).await?;
    ///     Ok(ack.sequence)
    /// }
    /// ```
    pub fn publish_durable<E: Event>(&self, event: &E) -> DurablePublish {
        DurablePublish::new(self, event)
    }
}

impl fmt::Debug for DurablePublish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurablePublish")
            .field("subject", &self.event.as_ref().map(|event| &event.0))
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PublishHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishHandle").finish_non_exhaustive()
    }
}
