//! What becomes of the events of one subscription, counted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::descriptor::EventDescriptor;
use crate::observe;
use crate::status::{Reason, Status};
use crate::sync::lock;

/// What has become of the events of one subscription so far; see
/// [`RunningServer::events`](crate::RunningServer::events).
///
/// Every event that came in is counted in one of the others, or still waits or runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventStats {
    /// The full name of the message.
    pub event: &'static str,
    /// What is subscribed to, with the prefix of the bus.
    pub subject: String,
    /// The queue group, or the name of the durable consumer; `None` for a broadcast.
    pub group: Option<String>,
    /// Events that came in.
    pub received: u64,
    /// Events whose handler succeeded.
    pub handled: u64,
    /// Events whose handler failed, or took longer than it may.
    pub failed: u64,
    /// Events whose handler panicked.
    pub panicked: u64,
    /// Events that are none: other bytes, or bad headers.
    pub undecodable: u64,
    /// Events that were dropped unseen, since too many waited or the server stopped.
    pub dropped: u64,
    /// What went wrong last, be it with an event or with a handler.
    pub last_error: Option<Status>,
}

/// Counts; shared by all that handle events of one subscription.
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

    /// Says where the events come from, for those who read the counts.
    pub(crate) fn name(&self, subject: &str, group: Option<&str>) {
        *lock(&self.source) = (subject.to_owned(), group.map(str::to_owned));
    }

    /// An event has come in.
    pub(crate) fn received(&self) {
        add(&self.received);
        observe::event_received(self.event.full_name);
    }

    /// Counts one event that was handled, or whose handling failed; a failure is logged.
    pub(crate) fn record(&self, failure: Option<&Status>) {
        let Some(status) = failure else {
            add(&self.handled);
            return;
        };
        let name = self.event.full_name;
        // Who sees the count sees the error too.
        *lock(&self.last_error) = Some(status.clone());
        match status.reason() {
            Some(Reason::Panicked) => {
                add(&self.panicked);
                tracing::error!(event = name, %status, "the handler of an event panicked");
            }
            Some(Reason::Undecodable | Reason::BadHeader | Reason::ContentType) => {
                add(&self.undecodable);
                tracing::warn!(event = name, %status, "an event cannot be read");
            }
            _ => {
                add(&self.failed);
                tracing::warn!(event = name, %status, "the handler of an event failed");
            }
        }
        observe::event_failed(name, status.code());
    }

    /// An event was dropped unseen. Logged the first time and whenever the count has doubled.
    pub(crate) fn dropped(&self, why: &str) {
        let count = add(&self.dropped);
        observe::event_dropped(self.event.full_name);
        if count.is_power_of_two() {
            tracing::warn!(
                event = self.event.full_name,
                count,
                "dropped an event: {why}"
            );
        }
    }

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

fn add(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Release) + 1
}
