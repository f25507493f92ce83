//! `EventCounters`: counts and logs the outcome of each event of one subscription.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::descriptor::EventDescriptor;
use crate::event::event_logs::{EventLogs, is_unreadable};
use crate::observe;
use crate::observe::EventMetrics;
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
    /// Messages that are no such event: bytes that cannot be decoded, invalid headers, a content type
    /// other than protobuf, or a message of NATS itself, as a status.
    pub undecodable: u64,
    /// Headers that are no metadata and were left out, as values that are not ASCII: of the first 32 of an event. The
    /// handler gets the event and its other headers.
    pub malformed_headers: u64,
    /// Events that were dropped before or without an outcome: too many were queued
    /// ([`Subscription::max_waiting`](crate::Subscription::max_waiting)), or the server stopped.
    pub dropped: u64,
    /// Acknowledgments, requests and dead letters of a durable consumer that NATS does not let this user send. Events
    /// whose acknowledgment was refused are delivered again; while requests are refused none are delivered. A dead
    /// letter is sent again each second, and its event stays in the stream.
    pub refused: u64,
    /// Durable events that were given up: no process handles them any more, and a dead letter keeps each, unless the
    /// consumer has none.
    pub given_up: u64,
    /// Status of the last event that failed, panicked or could not be decoded, of the last refusal, or of the last
    /// dead letter that could not be stored.
    pub last_error: Option<Status>,
}

/// Counts of one subscription, shared by its dispatcher and all its handlers.
///
/// The same outcomes go to `observe` (the feature `metrics`), and those of core events to the log, so that each is
/// reported in one place whichever way an event was handled. A durable consumer logs its failures itself, with what
/// becomes of the event.
#[derive(Debug)]
pub(crate) struct EventCounters {
    event: &'static EventDescriptor,
    source: Mutex<(String, Option<String>)>,
    received: AtomicU64,
    handled: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    undecodable: AtomicU64,
    malformed_headers: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    given_up: AtomicU64,
    last_error: Mutex<Option<Status>>,
    is_logged_by_source: AtomicBool,
    metrics: EventMetrics,
    logs: EventLogs,
    in_hand: OnceLock<CountInHand>,
}

/// Counts the events that a source has in hand.
struct CountInHand(Box<dyn Fn() -> usize + Send + Sync>);

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
            malformed_headers: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            last_error: Mutex::default(),
            is_logged_by_source: AtomicBool::new(false),
            metrics: EventMetrics::new(event.full_name),
            logs: EventLogs::default(),
            in_hand: OnceLock::new(),
        }
    }

    pub(crate) fn event(&self) -> &'static EventDescriptor {
        self.event
    }

    /// Leaves the log of failures to the source of the events.
    #[cfg(feature = "jetstream")]
    pub(crate) fn set_logged_by_source(&self) {
        self.is_logged_by_source.store(true, Ordering::Relaxed);
    }

    /// Leaves the count of events in hand to the source of the events.
    #[cfg(feature = "jetstream")]
    pub(crate) fn set_in_hand(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.in_hand.set(CountInHand(Box::new(count)));
    }

    /// Returns the number of events that are queued or at work.
    ///
    /// Of core events these are all without an outcome; a durable consumer gives events back, too.
    pub(crate) fn in_hand(&self) -> usize {
        if let Some(CountInHand(count)) = self.in_hand.get() {
            return count();
        }
        let stats = self.stats();
        let ended =
            stats.handled + stats.failed + stats.panicked + stats.undecodable + stats.dropped;
        usize::try_from(stats.received.saturating_sub(ended)).unwrap_or(usize::MAX)
    }

    /// Sets the subject and the group that [`EventStats`] shows. They are known when the server starts,
    /// later than the handler.
    pub(crate) fn set_source(&self, subject: &str, group: Option<&str>) {
        *lock(&self.source) = (subject.to_owned(), group.map(str::to_owned));
    }

    /// Counts an event that arrived.
    pub(crate) fn record_received(&self) {
        increment(&self.received);
        self.metrics.received.increment(1);
    }

    /// Counts the outcome of one event, `None` for success, and logs a failure unless the source does. The status's
    /// reason decides whether it counts as panicked, undecodable or failed.
    pub(crate) fn record(&self, failure: Option<&Status>) {
        let Some(status) = failure else {
            increment(&self.handled);
            self.metrics.handled.increment(1);
            return;
        };
        let name = self.event.full_name;
        // Stored before the count: a reader that sees the count finds the error as well.
        *lock(&self.last_error) = Some(status.clone());
        match status.reason() {
            Some(Reason::Panicked) => {
                increment(&self.panicked);
                self.metrics.panicked.increment(1);
            }
            reason if is_unreadable(reason) => {
                increment(&self.undecodable);
                self.metrics.undecodable.increment(1);
            }
            _ => {
                increment(&self.failed);
                self.metrics.failed.increment(1);
            }
        }
        observe::event_failed(name, status.code());
        if !self.is_logged_by_source.load(Ordering::Relaxed) {
            self.logs.failed(name, status);
        }
    }

    /// Counts a message of NATS itself in place of an event.
    pub(crate) fn record_of_nats(&self, status: &Status) {
        let name = self.event.full_name;
        *lock(&self.last_error) = Some(status.clone());
        increment(&self.undecodable);
        self.metrics.undecodable.increment(1);
        observe::event_failed(name, status.code());
        self.logs.of_nats(name, status);
    }

    /// Counts headers that are no metadata, and were left out.
    #[cold]
    pub(crate) fn record_malformed_headers(&self, values: u32) {
        let values = u64::from(values);
        self.malformed_headers.fetch_add(values, Ordering::Release);
        self.metrics.malformed_headers.increment(values);
        let event = self.event.full_name;
        tracing::debug!(
            event,
            values,
            "left out headers of an event that are no metadata"
        );
    }

    /// Logs a destructor of a handler that panicked with `text`.
    pub(super) fn log_destructor_panic(&self, text: &str) {
        self.logs.destructor_panicked(self.event.full_name, text);
    }

    /// Counts an event that was left without an outcome when its server ended. Not a warning: the server was dropped,
    /// or its stop has logged what it left.
    pub(crate) fn record_stopped(&self) {
        let count = increment(&self.dropped);
        self.metrics.dropped.increment(1);
        tracing::debug!(
            event = self.event.full_name,
            count,
            "dropped an event: the server has stopped"
        );
    }

    /// Counts an event that was dropped without an outcome, and logs it.
    pub(crate) fn record_dropped(&self, cause: &'static str) {
        increment(&self.dropped);
        self.metrics.dropped.increment(1);
        self.logs.dropped(self.event.full_name, cause);
    }

    /// Counts a message of a durable consumer that NATS refused. The connection logs it.
    #[cfg(feature = "jetstream")]
    pub(crate) fn record_refusal(&self, status: Status) {
        *lock(&self.last_error) = Some(status);
        increment(&self.refused);
        self.metrics.refused.increment(1);
    }

    /// Counts a durable event that is given up. Its consumer logs it.
    #[cfg(feature = "jetstream")]
    pub(crate) fn record_given_up(&self) {
        increment(&self.given_up);
        self.metrics.given_up.increment(1);
    }

    /// Notes why a dead letter is not stored, and counts it where NATS refused it. The one that stores it logs it.
    #[cfg(feature = "jetstream")]
    pub(crate) fn record_unstored_letter(&self, status: Status) {
        let is_refused = status.reason() == Some(Reason::NotPermitted);
        *lock(&self.last_error) = Some(status);
        if is_refused {
            increment(&self.refused);
            self.metrics.refused.increment(1);
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
            malformed_headers: count(&self.malformed_headers),
            dropped: count(&self.dropped),
            refused: count(&self.refused),
            given_up: count(&self.given_up),
            received: count(&self.received),
            last_error: lock(&self.last_error).clone(),
        }
    }
}

impl fmt::Debug for CountInHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountInHand")
    }
}

fn increment(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Release) + 1
}
