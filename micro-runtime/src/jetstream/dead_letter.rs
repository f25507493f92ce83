//! Dead letters: what is given up is stored with the reason, and only then taken off its stream.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_nats::jetstream::stream::Config;
use async_nats::{HeaderMap, HeaderValue, Subject};
use tokio::time::Instant;

use crate::bus::Bus;
use crate::error::Error;
use crate::jetstream::consumer::Consumer;
use crate::jetstream::durable::DeadLetter;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::store::AckedPublish;
use crate::jetstream::stream::{EventStream, ensure_exactly};
use crate::status::Status;
use crate::wire::header;
use crate::wire::header::stored;
use crate::wire::percent_encode;
use crate::wire::subject;

const REASON_LIMIT: usize = 512;
/// One round of tries; there is always another.
const ROUND: Duration = Duration::from_secs(20);

/// Where one consumer's dead letters go.
pub(super) struct DeadLetters {
    consumer: Arc<Consumer>,
    subject: Subject,
}

impl DeadLetters {
    /// Names the subject, and sees to it that a stream stores it.
    pub(super) async fn start(
        bus: &Bus,
        consumer: &Arc<Consumer>,
        wanted: &DeadLetter,
    ) -> Result<Option<Self>, Error> {
        let subject = match wanted {
            DeadLetter::Off => return Ok(None),
            DeadLetter::Default => {
                subject::dead_letter(bus.prefix(), &consumer.stream, consumer.name())
            }
            DeadLetter::To(subject) => bus.subject(subject),
        };
        let api = &consumer.connection.jetstream_or_error()?.api;
        if api.stream_by_subject(subject.as_str()).await.is_err() {
            let (name, subjects) = match wanted {
                DeadLetter::To(_) => (
                    format!("{}-DLQ-{}", consumer.stream, consumer.name()),
                    subject.to_string(),
                ),
                _ => (
                    format!("{}-DLQ", consumer.stream),
                    subject::dead_letter_pattern(bus.prefix(), &consumer.stream).into_string(),
                ),
            };
            let stream = EventStream::from_config(Config {
                name,
                subjects: vec![subjects],
                num_replicas: consumer.replicas,
                ..EventStream::named("").into_config()
            });
            ensure_exactly(api, &stream).await?;
        }
        Ok(Some(Self {
            consumer: Arc::clone(consumer),
            subject,
        }))
    }

    /// Stores a delivery with the reason. Tries until it is stored.
    pub(super) async fn publish_dead_letter(&self, job: &PendingDelivery, status: &Status) {
        loop {
            let storing = AckedPublish {
                connection: Arc::clone(&self.consumer.connection),
                subject: self.subject.clone(),
                id: format!(
                    "{}:{}:{}",
                    self.consumer.stream,
                    self.consumer.name(),
                    job.delivery.sequence()
                ),
                headers: Some(self.headers(job, status)),
                payload: job.payload.clone(),
                deadline: Instant::now() + ROUND,
            };
            match storing.run().await {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(subject = %self.subject, %error, "a dead letter is not stored; tries again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// The letter's own headers, but for the broker's, and where it comes from.
    fn headers(&self, job: &PendingDelivery, status: &Status) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, values) in job.headers.iter().flat_map(HeaderMap::iter) {
            let text: &str = name.as_ref();
            if !header::is_of_the_broker(text) {
                for value in values {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        let id = job
            .headers
            .as_ref()
            .and_then(|own| own.get(stored::MESSAGE_ID));
        if let Some(id) = id {
            headers.insert(stored::DEAD_ID, id.clone());
        }
        let since = job
            .delivery
            .time()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        headers.insert(stored::DEAD_SUBJECT, job.subject.as_str());
        headers.insert(stored::DEAD_STREAM, &*self.consumer.stream);
        headers.insert(
            stored::DEAD_SEQUENCE,
            HeaderValue::from(job.delivery.sequence()),
        );
        headers.insert(
            stored::DEAD_TIME,
            HeaderValue::from(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        );
        headers.insert(stored::DEAD_CONSUMER, self.consumer.name());
        headers.insert(
            stored::DEAD_DELIVERIES,
            HeaderValue::from(job.delivery.count()),
        );
        headers.insert(stored::DEAD_CODE, HeaderValue::from(status.code() as u64));
        let reason = percent_encode(status.message(), REASON_LIMIT);
        headers.insert(stored::DEAD_REASON, reason.as_str());
        headers
    }
}
