//! `EventCounters`: counts and logs the outcome of each event of one subscription.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::descriptor::EventDescriptor;
use crate::observe;
use crate::status::{Reason, Status};
use crate::sync::lock;

/// Counts of one subscription of a server, since the server started; see
/// [`RunningServer::events`](crate::RunningServer::events).
///
/// Every received event is counted in at most one of the other counts, once it has an outcome. Those
/// without one are queued or at work, or are durable events that were returned to JetStream or given up
/// without a further attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventStats {
    /// Full name of the event's message, such as `market.v1.Trade`.
    pub event: &'static str,
    /// Subject or pattern that is subscribed to, with the prefix of the bus.
    pub subject: String,
    /// Queue group, or name of the durable consumer; `None` for a broadcast.
    pub group: Option<String>,
    /// Events that arrived. A durable event counts once for each delivery.
    pub received: u64,
    /// Events whose handler returned `Ok`.
    pub handled: u64,
    /// Events whose handler returned an error or exceeded its timeout.
    pub failed: u64,
    /// Events whose handler panicked.
    pub panicked: u64,
    /// Messages that are no such event: bytes that cannot be decoded, invalid headers, or a content type
    /// other than protobuf.
    pub undecodable: u64,
    /// Events that were dropped before or without an outcome: too many were queued
    /// ([`Subscription::max_waiting`](crate::Subscription::max_waiting)), or the server stopped.
    pub dropped: u64,
    /// Status of the last event that failed, panicked or could not be decoded.
    pub last_error: Option<Status>,
}

/// Counts of one subscription, shared by its dispatcher and all its handlers.
///
/// The same outcomes go to `observe` (the feature `metrics`) and to the log, so that each is reported in
/// one place whichever way an event was handled.
#[derive(Debug)]
pub(crate) struct EventCounters {
    event: &'static EventDescriptor,
    source: Mutex<(String, Option<String>)>,
    received: AtomicU64,
    handled: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    undecodable: AtomicU64,
    dropped: AtomicU64,
    last_error: Mutex<Option<Status>>,
}

impl EventCounters {
    pub(crate) fn new(event: &'static EventDescriptor) -> Self {
        Self {
            event,
            source: Mutex::default(),
            received: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            undecodable: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            last_error: Mutex::default(),
        }
    }

    /// Sets the subject and the group that [`EventStats`] shows. They are known when the server starts,
    /// later than the handler.
    pub(crate) fn set_source(&self, subject: &str, group: Option<&str>) {
        *lock(&self.source) = (subject.to_owned(), group.map(str::to_owned));
    }

    /// Counts an event that arrived.
    pub(crate) fn record_received(&self) {
        increment(&self.received);
        observe::event_received(self.event.full_name);
    }

    /// Counts the outcome of one event, `None` for success, and logs a failure. The status's reason
    /// decides whether it counts as panicked, undecodable or failed.
    pub(crate) fn record(&self, failure: Option<&Status>) {
        let Some(status) = failure else {
            increment(&self.handled);
            return;
        };
        let name = self.event.full_name;
        // Stored before the count: a reader that sees the count finds the error as well.
        *lock(&self.last_error) = Some(status.clone());
        match status.reason() {
            Some(Reason::Panicked) => {
                increment(&self.panicked);
                tracing::error!(event = name, %status, "the handler of an event panicked");
            }
            Some(Reason::Undecodable | Reason::BadHeader | Reason::ContentType) => {
                increment(&self.undecodable);
                tracing::warn!(event = name, %status, "an event cannot be read");
            }
            _ => {
                increment(&self.failed);
                tracing::warn!(event = name, %status, "the handler of an event failed");
            }
        }
        observe::event_failed(name, status.code());
    }

    /// Counts an event that was dropped without an outcome.
    ///
    /// It is logged the first time and whenever the count has doubled: a subscriber that is overloaded
    /// drops thousands of events in a second, and must not be slowed down further by its log.
    pub(crate) fn record_dropped(&self, cause: &str) {
        let count = increment(&self.dropped);
        observe::event_dropped(self.event.full_name);
        if count.is_power_of_two() {
            tracing::warn!(
                event = self.event.full_name,
                count,
                "dropped an event: {cause}"
            );
        }
    }

    /// Returns the counts of this moment.
    ///
    /// `received` is read last: what counts as handled counts as received as well, even while other
    /// threads go on counting.
    pub(crate) fn stats(&self) -> EventStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let (subject, group) = lock(&self.source).clone();
        EventStats {
            event: self.event.full_name,
            subject,
            group,
            handled: count(&self.handled),
            failed: count(&self.failed),
            panicked: count(&self.panicked),
            undecodable: count(&self.undecodable),
            dropped: count(&self.dropped),
            received: count(&self.received),
            last_error: lock(&self.last_error).clone(),
        }
    }
}

fn increment(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Release) + 1
}
