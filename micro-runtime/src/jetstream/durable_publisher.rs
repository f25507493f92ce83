//! `DurablePublisher`: publishes many durable events without waiting for each acknowledgment.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::bus::Bus;
use crate::event::Event;
use crate::jetstream::durable_publish::{DEFAULT_TIMEOUT, DurablePublish};
use crate::status::Status;
use crate::sync::lock;

/// Default of [`DurablePublisher::max_in_flight`], in events.
const DEFAULT_MAX_IN_FLIGHT: usize = 256;

/// Publishes durable events, of which a limited number may wait for their acknowledgments at a time; made
/// by [`Bus::durable_publisher`].
///
/// Awaiting each event costs a round trip. With a publisher a program sends on, learns of failures at
/// [`flush`](Self::flush), and is slowed down by JetStream only at the limit. Clones share the limit and
/// the failures.
///
/// # Examples
///
/// ```no_run
/// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
/// use market::Trade;
/// use micro_runtime::{Bus, Status};
///
/// async fn import(bus: &Bus, trades: &[(String, Trade)]) -> Result<(), Status> {
///     let publisher = bus.durable_publisher().max_in_flight(1_000);
///     for (id, trade) in trades {
///         let handle = publisher.publish(trade).id(id).send().await?;   // waits only at the limit
///         drop(handle);                                                 // `flush` reports failures
///     }
///     publisher.flush().await                                           // all are stored
/// }
/// ```
#[derive(Clone)]
pub struct DurablePublisher {
    bus: Bus,
    max_in_flight: usize,
    /// One permit per event in flight.
    permits: Arc<Semaphore>,
    /// First failure since the last flush.
    first_failure: Arc<Mutex<Option<Status>>>,
    timeout: Duration,
}

impl Bus {
    /// Creates a publisher with a limit of 256 events in flight.
    #[must_use]
    pub fn durable_publisher(&self) -> DurablePublisher {
        DurablePublisher {
            bus: self.clone(),
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            permits: Arc::new(Semaphore::new(DEFAULT_MAX_IN_FLIGHT)),
            first_failure: Arc::default(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

impl DurablePublisher {
    /// Sets how many events may wait for their acknowledgments at a time. 256 by default, at least 1.
    ///
    /// Set it before the first event is published: events in flight do not count against the new limit.
    #[must_use]
    pub fn max_in_flight(mut self, events: usize) -> Self {
        self.max_in_flight = events.clamp(1, u32::MAX as usize);
        self.permits = Arc::new(Semaphore::new(self.max_in_flight));
        self
    }

    /// Sets how long each event is sent again while it is not acknowledged, as
    /// [`DurablePublish::timeout`]. 20 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Waits until every event that was sent before has been acknowledged or has failed. Events that clones
    /// of this publisher send meanwhile wait until it has returned. Cancel safe.
    ///
    /// # Errors
    ///
    /// The first failure since the last flush of an event that was [sent](DurablePublish::send); it is
    /// reported once.
    pub async fn flush(&self) -> Result<(), Status> {
        let all = u32::try_from(self.max_in_flight).unwrap_or(u32::MAX);
        // Fails only for a closed semaphore, and this one is never closed.
        let _ = self.permits.acquire_many(all).await;
        lock(&self.first_failure).take().map_or(Ok(()), Err)
    }

    /// Publishes an event as [`Bus::publish_durable`] does, within this publisher's limit and timeout.
    pub fn publish<E: Event>(&self, event: &E) -> DurablePublish {
        DurablePublish::new(&self.bus, event).within_limits(
            &self.permits,
            &self.first_failure,
            self.timeout,
        )
    }
}

impl fmt::Debug for DurablePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurablePublisher")
            .field("max_in_flight", &self.max_in_flight)
            .finish_non_exhaustive()
    }
}
