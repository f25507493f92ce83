//! `Consumer`: a durable consumer at the server, created or compared, and created anew when it was deleted.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use tokio::task::AbortHandle;

use crate::bus::{Bus, Connection};
use crate::error::{Error, ErrorKind};
use crate::event::EventCounters;
use crate::jetstream::api::Api;
use crate::jetstream::config_api::{ConfigChange, ConsumerDetails, StreamDetails};
use crate::jetstream::consumer_position::ConsumerPosition;
use crate::jetstream::consumer_settings::{CONSUMER_SETTINGS, config, starting_at};
use crate::jetstream::differences::Comparison;
use crate::jetstream::durable::Durable;
use crate::jetstream::event_stream::stream_name;
use crate::jetstream::on_difference::DifferenceRules;
use crate::jetstream::raw_config::RawConfig;
use crate::jetstream::redeclaration::declare_again;
use crate::jetstream::start_from::StartFrom;
use crate::jetstream::stream_declaration::find;
use crate::jetstream::stream_generation::StreamGeneration;
use crate::jetstream::stream_lookup;
use crate::log_limit::LogLimit;

/// Interval at which a consumer that receives events is asked how far they are settled.
const POSITION_INTERVAL: Duration = Duration::from_secs(1);
/// Number of position intervals after which a consumer that receives no event is asked: other processes may.
const MAX_IDLE_INTERVALS: u32 = 30;

/// Interval of asking a consumer where NATS refuses that to this user: each time is a line in the log of NATS.
const REFUSED_INTERVAL: Duration = Duration::from_secs(60);

/// A durable pull consumer with explicit acknowledgments (docs/PROTOCOL.md, DUR-3).
///
/// It exists at the server, as it is declared, once [`start`](Self::start) has returned. An operator may edit or delete
/// it later, or a server may lose it: [`restore`](Self::restore) creates it again where it is gone, and compares
/// nothing. The new consumer has no acknowledgments, so that it begins behind the events that were settled before
/// ([`ConsumerPosition`]); those that were settled out of order come again.
pub(super) struct Consumer {
    pub(super) connection: Arc<Connection>,
    /// Name of the stream in NATS.
    pub(super) stream: Arc<str>,
    /// Number of copies of the stream, which its dead letters get as well.
    pub(super) replicas: usize,
    config: RawConfig,
    start: StartFrom,
    rules: DifferenceRules,
    position: Arc<ConsumerPosition>,
    /// Follows the position, and ends with this.
    following: OnceLock<AbortHandle>,
    creation_log: LogLimit,
    /// Of the stream that its deliveries come from.
    pub(super) generation: StreamGeneration,
}

impl Consumer {
    /// Finds the stream, and creates the consumer or compares the one that exists. `event` is the full name of the
    /// message, and `filter` the subject to consume, with the bus's prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] if there is no stream or several, or the existing consumer has other settings.
    pub(super) async fn start(
        bus: &Bus,
        durable: &Durable,
        event: &str,
        filter: String,
    ) -> Result<Self, Error> {
        let connection = Arc::clone(bus.consuming());
        connection.jetstream_or_error()?;
        let api = Api::new(&connection);
        let name = match &durable.stream {
            Some(name) => stream_name(bus, name),
            None => stream_lookup::stream_to_consume(&api, &filter, &durable.name).await?,
        };
        let reconnects = connection.refusals().reconnect_count();
        let stream = api.stream_details(&name).await.map_err(|error| {
            let action = match error.is(ErrorCode::STREAM_NOT_FOUND) {
                true => "know",
                false => "look up",
            };
            error.into_error(&format!("{action} stream `{name}`"))
        })?;
        let replicas = usize::try_from(stream.config.number("num_replicas")).unwrap_or(1);
        let consumer = Self {
            stream: name.into(),
            replicas: replicas.max(1),
            config: config(durable, event, &filter),
            start: durable.start,
            rules: durable.rules,
            position: Arc::default(),
            following: OnceLock::new(),
            creation_log: LogLimit::default(),
            generation: StreamGeneration::new(&stream.created, reconnects),
            connection: Arc::clone(&connection),
        };
        consumer.position.note_stream(&stream.created);
        if let Some(found) = consumer.restore_in(&stream).await? {
            consumer.settle(&found).await?;
        }
        Ok(consumer)
    }

    /// Returns the name of the consumer.
    pub(super) fn name(&self) -> &str {
        self.config.text("durable_name")
    }

    /// Returns the subject that it consumes.
    pub(super) fn filter(&self) -> &str {
        self.config.text("filter_subject")
    }

    /// Follows how far the events are settled, until the consumer is dropped.
    pub(super) fn follow_position(&self, counters: &Arc<EventCounters>) {
        let connection = Arc::clone(&self.connection);
        let names = (Arc::clone(&self.stream), self.name().to_owned());
        let position = Arc::clone(&self.position);
        let following = follow_position(connection, names, position, Arc::clone(counters));
        self.following
            .get_or_init(|| tokio::spawn(following).abort_handle());
    }

    /// Looks the consumer up, and creates it unless it exists, whatever its settings: an operator may have edited it,
    /// and one that runs goes on. Its stream is declared again if that is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] if the stream is gone and was not declared over this connection, if the consumer is
    /// none that can be pulled from, or if JetStream does not create it; otherwise those of a request to JetStream.
    pub(super) async fn restore(&self) -> Result<(), Error> {
        let reconnects = self.connection.refusals().reconnect_count();
        let stream = self.stream_now().await?;
        self.restore_pull(&stream).await?;
        self.generation.verify(&stream.created, reconnects);
        Ok(())
    }

    /// Restores the consumer, so that it can be pulled from.
    async fn restore_pull(&self, stream: &StreamDetails) -> Result<(), Error> {
        self.position.note_stream(&stream.created);
        let Some(found) = self.restore_in(stream).await? else {
            return Ok(());
        };
        self.position.note_settled(found.settled());
        match found.config.text("deliver_subject") {
            "" => Ok(()),
            subject => {
                let text = format!(
                    "consumer `{}` of stream `{}` is pushed to `{subject}` now, so that nothing can be pulled from it; \
                     remove it, and it is created again",
                    self.name(),
                    self.stream
                );
                Err(Error::new(ErrorKind::JetStream, text))
            }
        }
    }

    /// Returns the stream, which is declared again if it is gone.
    async fn stream_now(&self) -> Result<StreamDetails, Error> {
        let api = Api::new(&self.connection);
        let name = &*self.stream;
        if let Some(stream) = find(&api, name).await? {
            return Ok(stream);
        }
        let declared = declare_again(&api, name).await;
        declared.map_err(|error| error.into_error(&format!("declare stream `{name}` again")))?;
        let stream = find(&api, name).await?;
        stream.ok_or_else(|| {
            let text = format!(
                "stream `{name}` is gone, and this program has not declared it; declare it again"
            );
            Error::new(ErrorKind::JetStream, text)
        })
    }

    /// Returns the consumer if it exists, and creates it otherwise. Creation is strict: it fails for an existing
    /// consumer instead of changing its settings, which other processes rely on.
    async fn restore_in(&self, stream: &StreamDetails) -> Result<Option<ConsumerDetails>, Error> {
        if let Some(found) = self.find().await? {
            return Ok(Some(found));
        }
        let name = self.name();
        let api = Api::new(&self.connection);
        let config = starting_at(&self.config, self.position.start(self.start));
        match api
            .put_consumer(&self.stream, ConfigChange::Create, &config)
            .await
        {
            Ok(created) => {
                self.position.note_settled(created.settled());
                let (stream, consumer) = (Arc::clone(&self.stream), name.to_owned());
                self.creation_log.write(move |count| {
                    tracing::info!(stream = &*stream, consumer, count, "created a consumer");
                });
                Ok(None)
            }
            // Another process may have created it meanwhile.
            Err(error) => match self.find().await? {
                Some(found) => Ok(Some(found)),
                None => {
                    let stream = stream.config.text("name");
                    let action = format!("create consumer `{name}` of stream `{stream}`");
                    Err(error.into_error(&action))
                }
            },
        }
    }

    /// Compares an existing consumer, and updates it where its declaration permits that.
    async fn settle(&self, found: &ConsumerDetails) -> Result<(), Error> {
        self.position.note_settled(found.settled());
        let (stream, name) = (&*self.stream, self.name());
        let comparison = Comparison {
            subject: format!("consumer `{name}` of stream `{stream}`"),
            command: format!("`nats consumer edit {stream} {name}`"),
            settings: CONSUMER_SETTINGS,
            declared: &self.config,
            found: &found.config,
            rules: self.rules,
        };
        let Some(config) = comparison.resolve(Vec::new)? else {
            return Ok(());
        };
        let api = Api::new(&self.connection);
        let updated = api
            .put_consumer(stream, ConfigChange::Update, &config)
            .await;
        updated.map(drop).map_err(|error| {
            error.into_error(&format!("update consumer `{name}` of stream `{stream}`"))
        })
    }

    /// Returns the consumer; `None` if there is none with this name.
    async fn find(&self) -> Result<Option<ConsumerDetails>, Error> {
        let (stream, consumer) = (&*self.stream, self.name());
        let api = Api::new(&self.connection);
        match api.consumer_details(stream, consumer).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.is(ErrorCode::CONSUMER_NOT_FOUND) => Ok(None),
            Err(error) => {
                let action = format!("look up consumer `{consumer}` of stream `{stream}`");
                Err(error.into_error(&action))
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(following) = self.following.get() {
            following.abort();
        }
    }
}

/// Notes regularly how far the events of a consumer, with these names of its stream and its own, are settled. It costs
/// one request a second at most, and next to nothing while no event arrives.
async fn follow_position(
    connection: Arc<Connection>,
    (stream, consumer): (Arc<str>, String),
    position: Arc<ConsumerPosition>,
    counters: Arc<EventCounters>,
) {
    let api = Api::new(&connection);
    let (mut received, mut idle) = (counters.stats().received, 0);
    // Those that arrived last may be settled after the look that counted them.
    let mut is_unsettled = false;
    loop {
        tokio::time::sleep(POSITION_INTERVAL).await;
        let now = counters.stats().received;
        idle += 1;
        if now == received && !is_unsettled && idle < MAX_IDLE_INTERVALS {
            continue;
        }
        (received, idle) = (now, 0);
        match api.consumer_details(&stream, &consumer).await {
            Ok(found) => {
                is_unsettled = found.is_unsettled();
                position.note_settled(found.settled());
            }
            Err(error) if error.is_refused() => tokio::time::sleep(REFUSED_INTERVAL).await,
            Err(_) => {}
        }
    }
}
