//! `DurablePublish` and `DurablePublisher`: events that are acknowledged, one or many at a time.

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

use crate::bus::{Bus, Connection, instant_after};
use crate::client::{CallOptions, call_option_methods};
use crate::event::Event;
use crate::jetstream::store::{AckedPublish, PublishAck};
use crate::status::{Reason, Status};
use crate::sync::lock;
use crate::wire;
use crate::wire::PayloadFormat;

/// A leader that dies is replaced within 5 to 6 s; this leaves room for a second election.
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_IN_FLIGHT: usize = 256;

/// The future of a [`DurablePublish`].
pub type DurablePublishFuture = Pin<Box<dyn Future<Output = Result<PublishAck, Status>> + Send>>;

/// An event that is stored once this is awaited; `Err` says that it may not be.
///
/// It is sent again under the same id, for 20 s by default, while JetStream does not answer or has
/// no leader: whatever happens, the stream has it once. Dropping the future gives up waiting, and
/// the event may be stored all the same.
#[must_use = "an event is published once this is awaited"]
pub struct DurablePublish {
    connection: Arc<Connection>,
    in_flight: Option<Arc<Semaphore>>,
    failed: Option<Arc<Mutex<Option<Status>>>>,
    /// Where to and what, or why not.
    event: Result<(Subject, Bytes), Status>,
    id: Option<String>,
    /// Timeout, metadata and parent; a publish ignores `may_retry`.
    options: CallOptions,
}

/// An event that was sent and is not acknowledged yet; ready once it is. It is published to its end
/// whether or not anybody waits.
#[must_use = "an event that is not acknowledged may be lost"]
pub struct PublishHandle(JoinHandle<Result<PublishAck, Status>>);

/// Publishes many events at a time, up to a bound.
///
/// # Examples
///
/// ```ignore
/// let publisher = bus.durable_publisher().max_in_flight(1_000);
/// for trade in trades {
///     publisher.publish(&trade).id(trade.id()).send().await?;    // waits only at the bound
/// }
/// publisher.flush().await?;                                      // all are stored
/// ```
#[derive(Clone)]
pub struct DurablePublisher {
    bus: Bus,
    places: usize,
    in_flight: Arc<Semaphore>,
    failed: Arc<Mutex<Option<Status>>>,
    timeout: Duration,
}

impl DurablePublish {
    fn new(bus: &Bus, event: Result<(Subject, Bytes), Status>) -> Self {
        Self {
            connection: Arc::clone(bus.connection()),
            in_flight: None,
            failed: None,
            event,
            id: None,
            options: CallOptions::new(),
        }
    }

    /// Names the event for good: within the stream's window of duplicates (2 minutes by default) it
    /// is stored once, however often it is published. Without it each publish is an event of its
    /// own, under a random id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    call_option_methods! { (options):
        /// Until then the event is sent again while it is not acknowledged. The default is 20 s; less
        /// than 15 s does not outlast the death of a cluster's leader.
        timeout;
        headers;
        /// Publishes as a part of the call or event that `ctx` belongs to: with its trace, and until its
        /// deadline at the latest.
        within;
    }

    /// Sends the event, and leaves the rest to a task: waits only while as many events as may be in
    /// flight are. Events that are sent one after the other are stored in that order, unless one
    /// has to be sent again.
    ///
    /// # Errors
    ///
    /// As awaiting it, but for what comes after sending; that is what [`PublishHandle`] yields.
    pub async fn send(self) -> Result<PublishHandle, Status> {
        let failed = self.failed.clone();
        let (storing, permit) = self.prepare().await?;
        let sent = storing.send().await;
        let task = tokio::spawn(async move {
            let settled = storing.ack_or_nak(sent).await;
            if let (Err(status), Some(failed)) = (&settled, failed) {
                lock(&failed).get_or_insert_with(|| status.clone());
            }
            drop(permit);
            settled
        });
        Ok(PublishHandle(task))
    }

    /// Takes a place among the events in flight.
    async fn prepare(self) -> Result<(AckedPublish, OwnedSemaphorePermit), Status> {
        let now = Instant::now();
        let timeout = self.options.timeout.unwrap_or(TIMEOUT);
        let own = instant_after(now.into_std(), timeout);
        let deadline = self.options.earliest(Some(own)).unwrap_or(own).into();
        let in_flight = match self.in_flight {
            Some(in_flight) => in_flight,
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
        let permit = match Arc::clone(&in_flight).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match timeout_at(deadline, in_flight.acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                _ => {
                    let text = format!(
                        "`{subject}` was not sent: too many events wait to be acknowledged"
                    );
                    return Err(Reason::Overloaded.status(text));
                }
            },
        };
        let storing = AckedPublish {
            connection: self.connection,
            subject,
            id,
            headers,
            payload,
            deadline,
        };
        Ok((storing, permit))
    }
}

impl IntoFuture for DurablePublish {
    type Output = Result<PublishAck, Status>;
    type IntoFuture = DurablePublishFuture;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (storing, _permit) = self.prepare().await?;
            storing.run().await
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
    /// Publishes an event into the stream that stores its subject, and waits until it is stored.
    /// See [`DurablePublish`].
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for an event whose fields give no subject, `UNIMPLEMENTED` on a bus
    /// inside one process, `FAILED_PRECONDITION` when JetStream refuses the event, and
    /// `UNAVAILABLE` when it was not acknowledged in time: then it may or may not be stored.
    ///
    /// # Examples
    ///
    /// ```ignore
    /// let ack = bus.publish_durable(&trade).id(format!("{}:{}", trade.venue, trade.id)).await?;
    /// println!("{} of {}", ack.sequence, ack.stream);
    /// ```
    pub fn publish_durable<E: Event>(&self, event: &E) -> DurablePublish {
        DurablePublish::new(self, ready(self, event))
    }

    /// Makes a publisher that keeps many events in flight.
    #[must_use]
    pub fn durable_publisher(&self) -> DurablePublisher {
        DurablePublisher {
            bus: self.clone(),
            places: MAX_IN_FLIGHT,
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            failed: Arc::default(),
            timeout: TIMEOUT,
        }
    }
}

impl DurablePublisher {
    /// How many events may wait for their acknowledgment at a time. 256 by default.
    #[must_use]
    pub fn max_in_flight(mut self, events: usize) -> Self {
        self.places = events.clamp(1, u32::MAX as usize);
        self.in_flight = Arc::new(Semaphore::new(self.places));
        self
    }

    /// How long each event is sent again until it is acknowledged. 20 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Waits until nothing is in flight.
    ///
    /// # Errors
    ///
    /// The first failure of an event that was [sent](DurablePublish::send) since the last flush.
    pub async fn flush(&self) -> Result<(), Status> {
        let all = u32::try_from(self.places).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _ = self.in_flight.acquire_many(all).await;
        lock(&self.failed).take().map_or(Ok(()), Err)
    }

    /// Publishes an event, as [`Bus::publish_durable`] does, within this publisher's bound.
    pub fn publish<E: Event>(&self, event: &E) -> DurablePublish {
        DurablePublish {
            in_flight: Some(Arc::clone(&self.in_flight)),
            failed: Some(Arc::clone(&self.failed)),
            options: CallOptions {
                timeout: Some(self.timeout),
                ..CallOptions::new()
            },
            ..DurablePublish::new(&self.bus, ready(&self.bus, event))
        }
    }
}

fn ready<E: Event>(bus: &Bus, event: &E) -> Result<(Subject, Bytes), Status> {
    Ok((bus.event_subject(event)?, wire::encode(event)))
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

impl fmt::Debug for DurablePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurablePublisher")
            .field("max_in_flight", &self.places)
            .finish_non_exhaustive()
    }
}
