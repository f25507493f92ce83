//! `AttemptLedger`: the attempts at events that were delivered more than once, stored in a stream of their own.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_nats::Subject;
use async_nats::jetstream::ErrorCode;
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use crate::bus::{Bus, Outgoing};
use crate::context::{Delivery, TimeLimit, TimeoutSource};
use crate::error::Error;
use crate::jetstream::acked_publish::AckedPublish;
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::config_api::ConfigChange;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::delivery_state::{AttemptRecord, Judgment, judge};
use crate::jetstream::event_stream::EventStream;
use crate::log_limit::LogLimit;
use crate::printable::Printable;
use crate::wire::subject;

/// Time for which a record is kept. An event that waits longer for its next attempt counts as begun once.
const MAX_RECORD_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Time after which an event is handled although the beginning of the attempt is not stored.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait before a record is read again that could not be read.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// Records of attempts of one consumer (docs/PROTOCOL.md, DUR-9).
///
/// Each event has a subject of its own, which keeps the last record. Only events that fail, are given back or are
/// delivered again cost anything: [`delivery_state`](crate::jetstream::delivery_state) has the rules.
pub(super) struct AttemptLedger {
    consumer: Arc<Consumer>,
    /// Stream that stores the records.
    stream: String,
    /// Subject of this consumer's records, without the token of the event.
    subject: Subject,
    read_log: LogLimit,
    store_log: LogLimit,
}

impl AttemptLedger {
    /// Finds the stream of the records, and creates it unless there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`](crate::ErrorKind::JetStream) if the stream cannot be created, and
    /// [`ErrorKind::Permission`](crate::ErrorKind::Permission) if NATS refuses a request, or to read a record.
    pub(super) async fn start(bus: &Bus, consumer: &Arc<Consumer>) -> Result<Self, Error> {
        let pattern = subject::attempt_pattern(bus.prefix(), &consumer.stream);
        let api = Api::new(&consumer.connection);
        let stored = api.stream_of(&pattern).await;
        let stored = stored
            .map_err(|error| error.into_error(&format!("look up the stream of `{pattern}`")))?;
        let is_new = stored.is_none();
        let ledger = Self {
            stream: stored.unwrap_or_else(|| format!("{}-ATTEMPTS", consumer.stream)),
            subject: subject::attempts(bus.prefix(), &consumer.stream, consumer.name()),
            consumer: Arc::clone(consumer),
            read_log: LogLimit::default(),
            store_log: LogLimit::default(),
        };
        if is_new {
            let created = ledger.create_stream().await;
            created
                .map_err(|error| error.into_error(&format!("create stream `{}`", ledger.stream)))?;
        }
        // No event has this record: what counts is that it can be asked for.
        let read = ledger.read(&ledger.token_subject("0-0")).await;
        read.map_err(|error| error.into_error(&format!("read stream `{}`", ledger.stream)))?;
        Ok(ledger)
    }

    /// Judges a redelivery by its record. Waits while JetStream does not reply: a delivery that is not judged cannot be
    /// handled in safety. Cancel safe.
    pub(super) async fn judge(&self, delivery: &Delivery) -> Judgment {
        let subject = self.subject_of(delivery);
        loop {
            let error = match self.read(&subject).await {
                Ok(record) => return judge(record, delivery.count()),
                Err(error) => error,
            };
            let is_refused = error.is_refused();
            let (consumer, error) = (Arc::clone(&self.consumer), error.to_string());
            self.read_log.write(move |count| {
                tracing::warn!(
                    stream = &*consumer.stream, consumer = consumer.name(), count,
                    error = %Printable(error), "cannot read the attempts at an event"
                );
            });
            if is_refused {
                // An operator has taken the right to read since the start.
                return Judgment::by_deliveries(delivery.count());
            }
            self.consumer.connection.pause(READ_INTERVAL).await;
        }
    }

    /// Stores that a handler begins with an event, and returns once that is stored: the handler may end this process.
    ///
    /// Where JetStream does not store it within 5 s the handler begins all the same.
    pub(super) async fn record_begun(&self, delivery: &Delivery) {
        let record = AttemptRecord {
            attempts: delivery.attempt(),
            delivery: delivery.count(),
            is_ended: false,
        };
        let subject = self.subject_of(delivery);
        let publish = AckedPublish {
            connection: Arc::clone(&self.consumer.connection),
            // Two processes may hold one event, and each delivery begins once.
            id: format!("{subject}:{}", delivery.count()),
            subject,
            headers: None,
            payload: payload(record),
            limit: TimeLimit {
                deadline: Instant::now() + RECORD_TIMEOUT,
                timeout: RECORD_TIMEOUT,
                source: TimeoutSource::Protocol,
            },
            waits_for_ready: true,
        };
        if let Err(error) = publish.run().await {
            let consumer = Arc::clone(&self.consumer);
            self.store_log.write(move |count| {
                tracing::warn!(
                    stream = &*consumer.stream, consumer = consumer.name(), count, %error,
                    "cannot store an attempt at an event"
                );
            });
        }
    }

    /// Stores that an event has had `attempts`, none of which runs. Nothing waits for that, and it must be followed by
    /// the acknowledgment that gives the event back.
    pub(super) async fn record_ended(&self, delivery: &Delivery, attempts: u64) {
        let record = AttemptRecord {
            attempts,
            delivery: delivery.count(),
            is_ended: true,
        };
        let outgoing = Outgoing::to(self.subject_of(delivery), payload(record));
        if self.consumer.connection.publish(outgoing).await.is_err() {
            tracing::debug!("the connection is closed: an attempt is not recorded");
        }
    }

    /// Reads one record. A stream that an operator has deleted is created again.
    async fn read(&self, subject: &str) -> Result<Option<AttemptRecord>, ApiError> {
        let api = Api::new(&self.consumer.connection);
        match api.last_message(&self.stream, subject).await {
            // A message that others have published there is none.
            Ok(found) => Ok(found.and_then(|found| serde_json::from_slice(&found.payload()).ok())),
            Err(error) if error.is(ErrorCode::STREAM_NOT_FOUND) => {
                self.create_stream().await.map(|()| None)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates the stream of the records of all consumers of the event stream.
    async fn create_stream(&self) -> Result<(), ApiError> {
        let subjects = self.subject.rsplit_once('.');
        let pattern = subjects.map_or_else(String::new, |(all, _)| format!("{all}.>"));
        let origin = &*self.consumer.stream;
        let declared = EventStream::named(&*self.stream)
            .subject(pattern)
            .max_events_per_subject(1)
            .max_age(MAX_RECORD_AGE)
            .replicas(self.consumer.replicas)
            .metadata("micro.attempts_of", origin)
            .description(format!("attempts at events of stream {origin}"))
            .into_declaration();
        let api = Api::new(&self.consumer.connection);
        match api.put_stream(ConfigChange::Create, &declared.config).await {
            // An operator, or another version of the program, has chosen other settings.
            Err(error) if error.is(ErrorCode::STREAM_NAME_EXIST) => Ok(()),
            created => created.map(drop),
        }
    }

    /// Returns the subject of an event's record. A sequence alone may name another event once its stream is declared
    /// anew, and the time that it was stored does not.
    fn subject_of(&self, delivery: &Delivery) -> Subject {
        let since = delivery.time().duration_since(UNIX_EPOCH);
        let nanos = since.unwrap_or_default().as_nanos();
        self.token_subject(&format!("{}-{nanos}", delivery.sequence()))
    }

    fn token_subject(&self, token: &str) -> Subject {
        Subject::from(format!("{}.{token}", self.subject))
    }
}

fn payload(record: AttemptRecord) -> Bytes {
    json!(record).to_string().into()
}
