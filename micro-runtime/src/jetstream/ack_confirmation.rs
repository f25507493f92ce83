//! `AckConfirmation`: whether the acknowledgments of one consumer reach JetStream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::time::Instant;

use crate::event::EventCounters;
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::consumer::Consumer;
use crate::log_limit::LogLimit;
use crate::printable::Printable;
use crate::status::{Reason, Status};
use crate::sync::lock;

/// Time after which an acknowledgment is confirmed again. The first one of a consumer always is.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(60);
/// Wait between two attempts to find out whether acknowledgments reach JetStream again.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Wait before an acknowledgment that nothing has taken is sent again: a leader may be being elected.
const UNTAKEN_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of times that an acknowledgment is sent which nothing takes.
const MAX_UNTAKEN: usize = 3;
/// The handler still runs, which is true or without effect: what counts is whether it arrives.
const PROBE: Bytes = Bytes::from_static(b"+WPI");

/// Confirmation of acknowledgments of one consumer.
///
/// An acknowledgment is a message without a reply. Where NATS does not let this user publish it, or an import of
/// accounts lacks its subject, each event would be handled again and again, up to its dead letter, and nothing would
/// show it. So the first acknowledgment, and then one a minute, is a request, to which JetStream replies. One that does
/// not arrive stops the consumer: it requests no further events until [`probe`](Self::probe) has found that they do.
pub(super) struct AckConfirmation {
    consumer: Arc<Consumer>,
    counters: Arc<EventCounters>,
    state: Mutex<State>,
    log: LogLimit,
}

struct State {
    /// Time from which on the next acknowledgment is confirmed.
    due: Instant,
    /// Present while acknowledgments do not arrive.
    stopped: Option<Stopped>,
}

struct Stopped {
    /// Subject of an acknowledgment that did not arrive.
    subject: Subject,
    next_probe: Instant,
}

impl AckConfirmation {
    pub(super) fn new(consumer: &Arc<Consumer>, counters: &Arc<EventCounters>) -> Self {
        Self {
            consumer: Arc::clone(consumer),
            counters: Arc::clone(counters),
            state: Mutex::new(State {
                due: Instant::now(),
                stopped: None,
            }),
            log: LogLimit::default(),
        }
    }

    /// Returns whether the next acknowledgment has to be confirmed, which the caller does then.
    pub(super) fn take_due(&self) -> bool {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let is_due = state.due <= now;
        if is_due {
            state.due = now + CONFIRM_INTERVAL;
        }
        is_due
    }

    /// Returns whether the consumer has stopped.
    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.state).stopped.is_some()
    }

    /// Sends an acknowledgment as a request, and stops the consumer unless it arrives.
    pub(super) async fn confirm(&self, subject: Subject, payload: Bytes) {
        for attempt in 1.. {
            match self.request(&subject, payload.clone()).await {
                Err(ApiError::NoJetStream(_)) if attempt < MAX_UNTAKEN => {
                    self.consumer.connection.pause(UNTAKEN_INTERVAL).await;
                }
                Err(ApiError::NoJetStream(_)) => {
                    return self.stop(&subject, untaken(&self.consumer, &subject));
                }
                // Counted and noted by the one that observes refusals.
                Err(error) if error.is_refused() => return,
                // The connection is lost, or JetStream is away: the next acknowledgment has to be confirmed.
                Err(_) => {
                    lock(&self.state).due = Instant::now();
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    /// Stops the consumer, since an acknowledgment on this subject has not arrived.
    pub(super) fn stop(&self, subject: &str, status: Status) {
        let stopped = Stopped {
            subject: Subject::from(subject.to_owned()),
            next_probe: Instant::now() + PROBE_INTERVAL,
        };
        lock(&self.state).stopped.get_or_insert(stopped);
        let (consumer, shown) = (Arc::clone(&self.consumer), status.clone());
        let subject = subject.to_owned();
        self.counters.record_refusal(status);
        self.log.write(move |count| {
            tracing::error!(
                stream = &*consumer.stream, consumer = consumer.name(), count,
                subject = %Printable(&subject), status = %shown,
                "acknowledgments do not reach JetStream: the consumer requests no events until they do"
            );
        });
    }

    /// Returns whether it is time to [`probe`](Self::probe), which the caller does then.
    pub(super) fn take_probe(&self) -> bool {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let due = state
            .stopped
            .as_mut()
            .filter(|stopped| stopped.next_probe <= now);
        due.map(|stopped| stopped.next_probe = now + PROBE_INTERVAL)
            .is_some()
    }

    /// Finds out whether acknowledgments arrive, and lets the consumer go on if they do.
    pub(super) async fn probe(&self) {
        let stopped = lock(&self.state)
            .stopped
            .as_ref()
            .map(|stopped| stopped.subject.clone());
        let Some(subject) = stopped else {
            return;
        };
        let is_lost = match self.request(&subject, PROBE).await {
            Err(error) => error.is_refused() || matches!(error, ApiError::NoJetStream(_)),
            Ok(()) => false,
        };
        if !is_lost {
            let mut state = lock(&self.state);
            state.stopped = None;
            state.due = Instant::now();
        }
    }

    async fn request(&self, subject: &Subject, payload: Bytes) -> Result<(), ApiError> {
        let api = Api::new(&self.consumer.connection);
        api.acknowledge(subject.clone(), payload).await
    }
}

/// Returns the status of an acknowledgment that nothing takes.
fn untaken(consumer: &Consumer, subject: &str) -> Status {
    let (stream, name) = (&*consumer.stream, consumer.name());
    Reason::NotStored.status(format!(
        "nothing takes the acknowledgment on `{subject}`; where JetStream is that of another account, import \
         `$JS.ACK.{stream}.{name}.>` from it"
    ))
}
