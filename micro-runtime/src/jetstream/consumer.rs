//! `Consumer`: a named consumer at the server, created or checked, and found again when it is gone.

use std::sync::Arc;

use async_nats::jetstream::consumer;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::Stream;

use crate::bus::{Bus, Connection};
use crate::error::{Error, ErrorKind};
use crate::jetstream::difference::Differences;
use crate::jetstream::durable::{Durable, StartFrom};
use crate::jetstream::stream::{name_on, refused};

/// A consumer that exists, or has to be made again.
pub(super) struct Consumer {
    pub(super) connection: Arc<Connection>,
    /// As NATS knows it.
    pub(super) stream: Arc<str>,
    pub(super) replicas: usize,
    config: Config,
}

impl Consumer {
    /// Finds the stream, and creates or checks the consumer. `filter` has the bus's prefix.
    pub(super) async fn start(bus: &Bus, durable: &Durable, filter: String) -> Result<Self, Error> {
        let connection = Arc::clone(bus.connection());
        let api = &connection.jetstream_or_error()?.api;
        let name = match &durable.stream {
            Some(name) => name_on(bus, name),
            None => {
                let found = api.stream_by_subject(filter.as_str()).await;
                found.map_err(|error| {
                    let text = format!(
                        "no stream stores `{filter}`, which `{}` is to consume; declare one",
                        durable.name
                    );
                    Error::new(ErrorKind::JetStream, text).with_source(error)
                })?
            }
        };
        let stream = api
            .get_stream(&name)
            .await
            .map_err(|error| refused(&format!("know stream `{name}`"), error))?;
        let consumer = Self {
            stream: name.into(),
            replicas: stream.cached_info().config.num_replicas.max(1),
            config: config(durable, filter),
            connection: Arc::clone(&connection),
        };
        consumer.ensure(&stream).await?;
        Ok(consumer)
    }

    pub(super) fn name(&self) -> &str {
        self.config.durable_name.as_deref().unwrap_or_default()
    }

    /// Creates the consumer again if somebody deleted it.
    pub(super) async fn restore(&self) -> Result<(), Error> {
        let api = &self.connection.jetstream_or_error()?.api;
        let stream = api
            .get_stream(&*self.stream)
            .await
            .map_err(|error| refused(&format!("know stream `{}`", self.stream), error))?;
        self.ensure(&stream).await
    }

    async fn ensure(&self, stream: &Stream) -> Result<(), Error> {
        if self.is_there(stream).await? {
            return Ok(());
        }
        match stream.create_consumer_strict(self.config.clone()).await {
            Ok(_) => {
                let (stream, consumer) = (&*self.stream, self.name());
                tracing::info!(stream, consumer, "created a consumer");
                Ok(())
            }
            // Somebody may have been faster.
            Err(error) => match self.is_there(stream).await? {
                true => Ok(()),
                false => {
                    let what = format!(
                        "create consumer `{}` of stream `{}`",
                        self.name(),
                        self.stream
                    );
                    Err(refused(&what, error))
                }
            },
        }
    }

    /// Says whether the consumer exists.
    async fn is_there(&self, stream: &Stream) -> Result<bool, Error> {
        match stream.consumer_info(self.name()).await {
            Ok(info) => compare(&self.stream, &self.config, &info.config).map(|()| true),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(false),
            Err(error) => {
                let what = format!(
                    "look up consumer `{}` of stream `{}`",
                    self.name(),
                    self.stream
                );
                Err(refused(&what, error))
            }
        }
    }
}

fn config(durable: &Durable, filter_subject: String) -> Config {
    Config {
        durable_name: Some(durable.name.clone()),
        deliver_policy: durable.start.policy(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: durable.ack_wait,
        max_ack_pending: match durable.is_ordered {
            true => 1,
            false => durable.max_ack_pending.into(),
        },
        // The runtime counts: a message that ends every process that takes it must still reach the
        // dead letters, and JetStream would only stop to deliver it.
        max_deliver: -1,
        filter_subject,
        ..Config::default()
    }
}

impl StartFrom {
    pub(super) fn policy(self) -> DeliverPolicy {
        match self {
            Self::First => DeliverPolicy::All,
            Self::New => DeliverPolicy::New,
            Self::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
            Self::Time(time) => DeliverPolicy::ByStartTime {
                start_time: time.into(),
            },
        }
    }
}

fn compare(stream: &str, wanted: &Config, found: &consumer::Config) -> Result<(), Error> {
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
        &filters(&wanted.filter_subject, &wanted.filter_subjects),
        &filters(&found.filter_subject, &found.filter_subjects),
    );
    differences.debug("start", wanted.deliver_policy, found.deliver_policy);
    differences.debug("ack_policy", wanted.ack_policy, found.ack_policy);
    differences.duration("ack_wait", wanted.ack_wait, found.ack_wait);
    differences.limit(
        "max_ack_pending",
        wanted.max_ack_pending,
        found.max_ack_pending,
    );
    differences.limit("max_deliver", wanted.max_deliver, found.max_deliver);
    let name = wanted.durable_name.as_deref().unwrap_or_default();
    differences.into_result(
        &format!("consumer `{name}` of stream `{stream}`"),
        &format!("`nats consumer edit {stream} {name}`"),
    )
}
