//! `DeadLetters`: stores events that are given up, with the reason, under a subject of their own.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_nats::{HeaderMap, HeaderValue, Subject};
use tokio::time::Instant;

use crate::context::{StopSignal, TimeLimit, TimeoutSource};
use crate::error::Error;
use crate::event::{EventCounters, SourceScope};
use crate::jetstream::acked_publish::AckedPublish;
use crate::jetstream::api::Api;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::durable::DeadLetterPolicy;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::stream_declaration::declare_dead_letter_stream;
use crate::log_limit::LogLimit;
use crate::status::{Code, Status};
use crate::wire::header;
use crate::wire::header::stored;
use crate::wire::percent_encode;
use crate::wire::subject;

/// Maximum length of the failure's text in its header, percent-encoded, in bytes.
const MAX_REASON_LEN: usize = 512;
/// Time after which an attempt to store a letter is logged as failed, and another one begins.
const ROUND_TIMEOUT: Duration = Duration::from_secs(20);
/// Wait between two such attempts.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);

/// Destination of the dead letters of one consumer (docs/PROTOCOL.md, "Dead letters").
///
/// A letter has the payload and the headers of its event, so that it can be published again as it is, and
/// headers `Micro-Dead-…` with its origin and the last failure.
pub(super) struct DeadLetters {
    consumer: Arc<Consumer>,
    subject: Subject,
    counters: Arc<EventCounters>,
    /// Of the server.
    stop: StopSignal,
    /// Of letters that cannot be stored: each is tried again without an end.
    failure_log: LogLimit,
}

impl DeadLetters {
    /// Determines the subject, and creates a stream that stores it unless there is one; `None` without
    /// dead letters.
    ///
    /// This happens when the server starts: a stream that cannot be created must fail there, and not when
    /// the first event is given up, months later.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`](crate::ErrorKind::JetStream) if the stream cannot be created.
    pub(super) async fn start(
        scope: &SourceScope,
        consumer: &Arc<Consumer>,
        policy: &DeadLetterPolicy,
        counters: &Arc<EventCounters>,
    ) -> Result<Option<Self>, Error> {
        let bus = &scope.bus;
        let subject = match policy {
            DeadLetterPolicy::Off => return Ok(None),
            DeadLetterPolicy::Default => {
                subject::dead_letter(bus.prefix(), &consumer.stream, consumer.name())
            }
            DeadLetterPolicy::To(subject) => bus.subject(subject),
        };
        let api = Api::new(&consumer.connection);
        let stored = api.stream_of(&subject).await;
        let stored = stored
            .map_err(|error| error.into_error(&format!("look up the stream of `{subject}`")))?;
        if stored.is_none() {
            let (name, subjects) = match policy {
                DeadLetterPolicy::To(_) => (
                    format!("{}-DLQ-{}", consumer.stream, consumer.name()),
                    subject.to_string(),
                ),
                // One stream for all consumers of the stream.
                _ => (
                    format!("{}-DLQ", consumer.stream),
                    subject::dead_letter_pattern(bus.prefix(), &consumer.stream).into_string(),
                ),
            };
            declare_dead_letter_stream(&api, name, subjects, consumer.replicas).await?;
        }
        Ok(Some(Self {
            consumer: Arc::clone(consumer),
            subject,
            counters: Arc::clone(counters),
            stop: scope.stop.clone(),
            failure_log: LogLimit::default(),
        }))
    }

    /// Stores the letter of a delivery, and returns once that has succeeded, since the event is taken off its stream
    /// next.
    ///
    /// The delivery stays in flight meanwhile: its progress is reported, so that it is not delivered again,
    /// and it holds a permit, so that a consumer that cannot store its letters gradually stops instead of
    /// losing events. The end of the server's grace period drops this future.
    ///
    /// # Errors
    ///
    /// The failure of a letter that NATS or its stream refuses while the server stops: an operator has to allow it,
    /// which the grace period is not for. A stream that is away for a moment is waited for.
    pub(super) async fn store(
        &self,
        delivery: &PendingDelivery,
        status: &Status,
    ) -> Result<(), Status> {
        loop {
            let limit = TimeLimit {
                deadline: Instant::now() + ROUND_TIMEOUT,
                timeout: ROUND_TIMEOUT,
                source: TimeoutSource::Protocol,
            };
            let publish = AckedPublish {
                connection: Arc::clone(&self.consumer.connection),
                subject: self.subject.clone(),
                id: format!(
                    "{}:{}:{}",
                    self.consumer.stream,
                    self.consumer.name(),
                    delivery.info.sequence()
                ),
                headers: Some(self.headers(delivery, status)),
                payload: delivery.payload.clone(),
                limit,
                waits_for_ready: true,
            };
            match publish.run().await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.counters.record_unstored_letter(error.clone());
                    let (subject, shown) = (self.subject.clone(), error.clone());
                    self.failure_log.write(move |count| {
                        tracing::error!(%subject, error = %shown, count, "cannot store a dead letter; retrying");
                    });
                    let is_refused = error.code() != Code::Unavailable;
                    tokio::select! {
                        biased;
                        () = self.stop.wait(), if is_refused => return Err(error),
                        () = tokio::time::sleep(ROUND_INTERVAL) => {}
                    }
                }
            }
        }
    }

    /// Returns the event's own headers, without those that NATS wrote, and those of the letter.
    fn headers(&self, delivery: &PendingDelivery, status: &Status) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, values) in delivery.headers.iter().flat_map(HeaderMap::iter) {
            let text: &str = name.as_ref();
            if !header::is_of_the_broker(text) {
                for value in values {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        let event_id = delivery
            .headers
            .as_ref()
            .and_then(|own| own.get(stored::MESSAGE_ID));
        if let Some(event_id) = event_id {
            headers.insert(stored::DEAD_ID, event_id.clone());
        }
        let info = &delivery.info;
        let since = info.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        headers.insert(stored::DEAD_SUBJECT, delivery.subject.as_str());
        headers.insert(stored::DEAD_STREAM, &*self.consumer.stream);
        headers.insert(stored::DEAD_SEQUENCE, HeaderValue::from(info.sequence()));
        headers.insert(stored::DEAD_TIME, HeaderValue::from(millis));
        headers.insert(stored::DEAD_CONSUMER, self.consumer.name());
        headers.insert(stored::DEAD_DELIVERIES, HeaderValue::from(info.count()));
        headers.insert(stored::DEAD_CODE, HeaderValue::from(status.code() as u64));
        let reason = percent_encode(&status.message_with_sources(), MAX_REASON_LEN);
        headers.insert(stored::DEAD_REASON, reason.as_str());
        headers
    }
}
