//! `Consumer`: a durable consumer at the server, created or compared, and created anew when it was deleted.

use std::sync::Arc;

use async_nats::jetstream::consumer;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::context::{
    ConsumerInfoErrorKind, GetStreamByNameError, GetStreamByNameErrorKind,
};
use async_nats::jetstream::stream::Stream;

use crate::bus::{Bus, Connection};
use crate::error::{Error, ErrorKind};
use crate::jetstream::differences::Differences;
use crate::jetstream::durable::Durable;
use crate::jetstream::error::jetstream_error;
use crate::jetstream::event_stream::stream_name;

/// A durable pull consumer with explicit acknowledgments (docs/PROTOCOL.md, "Events").
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
}

impl Consumer {
    /// Finds the stream, and creates the consumer or compares the one that exists. `filter` is the subject
    /// to consume, with the bus's prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] if there is no stream, or the existing consumer has other settings.
    pub(super) async fn start(bus: &Bus, durable: &Durable, filter: String) -> Result<Self, Error> {
        let connection = Arc::clone(bus.connection());
        let api = &connection.jetstream_or_error()?.api;
        let name = match &durable.stream {
            Some(name) => stream_name(bus, name),
            None => {
                let found = api.stream_by_subject(filter.as_str()).await;
                found.map_err(|error| not_found(&filter, durable, error))?
            }
        };
        let stream = api
            .get_stream(&name)
            .await
            .map_err(|error| jetstream_error(&format!("know stream `{name}`"), error))?;
        let consumer = Self {
            stream: name.into(),
            replicas: stream.cached_info().config.num_replicas.max(1),
            config: config(durable, filter),
            connection: Arc::clone(&connection),
        };
        consumer.ensure(&stream).await?;
        Ok(consumer)
    }

    /// Returns the name of the consumer.
    pub(super) fn name(&self) -> &str {
        self.config.durable_name.as_deref().unwrap_or_default()
    }

    /// Looks the consumer up, and creates it if it was deleted.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(super) async fn restore(&self) -> Result<(), Error> {
        let api = &self.connection.jetstream_or_error()?.api;
        let stream = api
            .get_stream(&*self.stream)
            .await
            .map_err(|error| jetstream_error(&format!("know stream `{}`", self.stream), error))?;
        self.ensure(&stream).await
    }

    /// Creates the consumer unless it exists. Creation is strict: it fails for an existing consumer instead
    /// of changing its settings, which other processes rely on.
    async fn ensure(&self, stream: &Stream) -> Result<(), Error> {
        if self.exists(stream).await? {
            return Ok(());
        }
        match stream.create_consumer_strict(self.config.clone()).await {
            Ok(_) => {
                let (stream, consumer) = (&*self.stream, self.name());
                tracing::info!(stream, consumer, "created a consumer");
                Ok(())
            }
            // Another process may have created it meanwhile.
            Err(error) => match self.exists(stream).await? {
                true => Ok(()),
                false => {
                    let action = format!(
                        "create consumer `{}` of stream `{}`",
                        self.name(),
                        self.stream
                    );
                    Err(jetstream_error(&action, error))
                }
            },
        }
    }

    /// Returns whether the consumer exists; one with other settings is an error.
    async fn exists(&self, stream: &Stream) -> Result<bool, Error> {
        match stream.consumer_info(self.name()).await {
            Ok(info) => compare(&self.stream, &self.config, &info.config).map(|()| true),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(false),
            Err(error) => {
                let action = format!(
                    "look up consumer `{}` of stream `{}`",
                    self.name(),
                    self.stream
                );
                Err(jetstream_error(&action, error))
            }
        }
    }
}

/// Returns an error for a filter whose stream was not found.
fn not_found(filter: &str, durable: &Durable, error: GetStreamByNameError) -> Error {
    match error.kind() {
        GetStreamByNameErrorKind::NotFound => {
            let text = format!(
                "no stream stores `{filter}`, which `{}` is to consume; declare one",
                durable.name
            );
            Error::new(ErrorKind::JetStream, text).with_source(error)
        }
        _ => jetstream_error(&format!("look up the stream of `{filter}`"), error),
    }
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
