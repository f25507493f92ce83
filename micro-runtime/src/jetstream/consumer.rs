//! `Consumer`: a durable consumer at the server, created or compared, and created anew when it was deleted.

use std::sync::Arc;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;

use crate::bus::{Bus, Connection};
use crate::error::{Error, ErrorKind};
use crate::jetstream::api::Api;
use crate::jetstream::differences::Differences;
use crate::jetstream::durable::Durable;
use crate::jetstream::event_stream::stream_name;
use crate::log_limit::LogLimit;

/// A durable pull consumer with explicit acknowledgments (docs/PROTOCOL.md, DUR-3).
///
/// It exists at the server once [`start`](Self::start) has returned. An operator may delete it later, or a
/// server may lose it: [`restore`](Self::restore) creates it again. The new consumer has no acknowledgments, so
/// it begins where a first start would ([`Durable::start_from`]), and delivers events again that were handled.
pub(super) struct Consumer {
    pub(super) connection: Arc<Connection>,
    /// Name of the stream in NATS.
    pub(super) stream: Arc<str>,
    /// Number of copies of the stream, which its dead letters get as well.
    pub(super) replicas: usize,
    config: Config,
    creation_log: LogLimit,
}

impl Consumer {
    /// Finds the stream, and creates the consumer or compares the one that exists. `filter` is the subject
    /// to consume, with the bus's prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] if there is no stream, or the existing consumer has other settings.
    pub(super) async fn start(bus: &Bus, durable: &Durable, filter: String) -> Result<Self, Error> {
        let connection = Arc::clone(bus.consuming());
        connection.jetstream_or_error()?;
        let api = Api::new(&connection);
        let name = match &durable.stream {
            Some(name) => stream_name(bus, name),
            None => match api.stream_of(&filter).await {
                Ok(Some(name)) => name,
                Ok(None) => return Err(not_found(&filter, durable)),
                Err(error) => {
                    return Err(error.into_error(&format!("look up the stream of `{filter}`")));
                }
            },
        };
        let stream = api.stream_info(&name).await.map_err(|error| {
            let action = match error.is(ErrorCode::STREAM_NOT_FOUND) {
                true => "know",
                false => "look up",
            };
            error.into_error(&format!("{action} stream `{name}`"))
        })?;
        let consumer = Self {
            stream: name.into(),
            replicas: stream.config.num_replicas.max(1),
            config: config(durable, filter),
            creation_log: LogLimit::default(),
            connection: Arc::clone(&connection),
        };
        consumer.restore().await?;
        Ok(consumer)
    }

    /// Returns the name of the consumer.
    pub(super) fn name(&self) -> &str {
        self.config.durable_name.as_deref().unwrap_or_default()
    }

    /// Returns the subject that it consumes.
    pub(super) fn filter(&self) -> &str {
        &self.config.filter_subject
    }

    /// Looks the consumer up, and creates it unless it exists. Creation is strict: it fails for an existing
    /// consumer instead of changing its settings, which other processes rely on.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(super) async fn restore(&self) -> Result<(), Error> {
        if self.exists().await? {
            return Ok(());
        }
        let (stream, consumer) = (&*self.stream, self.name());
        let api = Api::new(&self.connection);
        match api.create_consumer(stream, &self.config).await {
            Ok(_) => {
                let (stream, consumer) = (Arc::clone(&self.stream), consumer.to_owned());
                self.creation_log.write(move |count| {
                    tracing::info!(stream = &*stream, consumer, count, "created a consumer");
                });
                Ok(())
            }
            // Another process may have created it meanwhile.
            Err(error) => match self.exists().await? {
                true => Ok(()),
                false => {
                    let action = format!("create consumer `{consumer}` of stream `{stream}`");
                    Err(error.into_error(&action))
                }
            },
        }
    }

    /// Returns whether the consumer exists; one with other settings is an error.
    async fn exists(&self) -> Result<bool, Error> {
        let (stream, consumer) = (&*self.stream, self.name());
        let api = Api::new(&self.connection);
        match api.consumer_info(stream, consumer).await {
            Ok(info) => compare(stream, &self.config, &info.config).map(|()| true),
            Err(error) if error.is(ErrorCode::CONSUMER_NOT_FOUND) => Ok(false),
            Err(error) => {
                let action = format!("look up consumer `{consumer}` of stream `{stream}`");
                Err(error.into_error(&action))
            }
        }
    }
}

/// Returns an error for a filter whose stream was not found.
fn not_found(filter: &str, durable: &Durable) -> Error {
    let text = format!(
        "no stream stores `{filter}`, which `{}` is to consume; declare one",
        durable.name
    );
    Error::new(ErrorKind::JetStream, text)
}

/// Returns the settings of the consumer at the server. The others of [`Durable`], such as its backoff, are
/// applied by the runtime: a `-NAK` (negative acknowledgment) carries the delay until the event's redelivery.
fn config(durable: &Durable, filter_subject: String) -> Config {
    Config {
        durable_name: Some(durable.name.clone()),
        deliver_policy: durable.start.deliver_policy(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: durable.ack_wait,
        max_ack_pending: match durable.is_ordered {
            true => 1,
            false => durable.max_ack_pending.into(),
        },
        // Unlimited, since the runtime counts deliveries: at its own limit JetStream stops to deliver an
        // event, without a dead letter and without a trace in any log. An event that ends every process
        // that handles it must still reach the dead letters.
        max_deliver: -1,
        filter_subject,
        ..Config::default()
    }
}

/// Compares the settings that [`Durable`] has. Others are left to operators.
fn compare(stream: &str, declared: &Config, found: &consumer::Config) -> Result<(), Error> {
    let filters = |one: &str, many: &[String]| {
        let mut all = many.to_vec();
        all.extend((!one.is_empty()).then(|| one.to_owned()));
        all.sort();
        all.join(", ")
    };
    let mut differences = Differences::default();
    if let Some(subject) = &found.deliver_subject {
        differences.text("kind", "pull", &format!("push to {subject}"));
    }
    differences.text(
        "filters",
        &filters(&declared.filter_subject, &declared.filter_subjects),
        &filters(&found.filter_subject, &found.filter_subjects),
    );
    differences.debug("start", declared.deliver_policy, found.deliver_policy);
    differences.debug("ack_policy", declared.ack_policy, found.ack_policy);
    differences.duration("ack_wait", declared.ack_wait, found.ack_wait);
    differences.limit(
        "max_ack_pending",
        declared.max_ack_pending,
        found.max_ack_pending,
    );
    differences.limit("max_deliver", declared.max_deliver, found.max_deliver);
    let name = declared.durable_name.as_deref().unwrap_or_default();
    differences.into_result(
        &format!("consumer `{name}` of stream `{stream}`"),
        &format!("`nats consumer edit {stream} {name}`"),
    )
}
