//! `Bus::streams` and `Bus::consumers`: what JetStream has, for operators and tests.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::bus::Bus;
use crate::error::Error;
use crate::jetstream::api::{Api, ApiError};
use crate::jetstream::event_stream::stream_name;
use crate::jetstream::raw_config::RawConfig;
use crate::jetstream::start_from::StartFrom;

/// State of a stream of JetStream, from [`Bus::streams`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStreamState {
    /// Name in NATS, with the prefix of the bus.
    pub name: String,
    /// Subjects in NATS, in alphabetical order.
    pub subjects: Vec<String>,
    /// Empty without a description.
    pub description: String,
    /// Metadata, as `micro.declared_by`; that of nats-server begins with `_nats.`.
    pub metadata: BTreeMap<String, String>,
    /// Time of its creation; one that was declared again has a later one.
    pub created: Option<SystemTime>,
    /// Number of events that are stored.
    pub events: u64,
    /// Size of the events that are stored, in bytes.
    pub bytes: u64,
    /// Sequence of the first event that is stored; one more than the last where there is none.
    pub first_sequence: u64,
    /// Sequence of the last event that was stored, 0 before the first.
    pub last_sequence: u64,
    /// Time at which the first event was stored; `None` without an event.
    pub first_event: Option<SystemTime>,
    /// Number of its consumers.
    pub consumers: usize,
    /// Number of its copies.
    pub replicas: usize,
    /// Name of the server that leads it; `None` while none does, and outside of a cluster.
    pub leader: Option<String>,
}

/// State of a consumer of a stream, from [`Bus::consumers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerState {
    /// Name of its stream in NATS, with the prefix of the bus.
    pub stream: String,
    /// Name of the consumer.
    pub name: String,
    /// Subjects that it consumes in NATS, in alphabetical order; none for all of the stream.
    pub filters: Vec<String>,
    /// Empty without a description.
    pub description: String,
    /// Metadata, as `micro.event`, the full name of the message; that of nats-server begins with `_nats.`.
    pub metadata: BTreeMap<String, String>,
    /// Time of its creation.
    pub created: Option<SystemTime>,
    /// Number of events that it has not delivered yet.
    pub lag: u64,
    /// Number of events that were delivered and are not acknowledged: at work, waiting for their redelivery, or lost
    /// with a process until `ack_wait` is over.
    pub unacknowledged: u64,
    /// Number of the unacknowledged events that were delivered more than once.
    pub redelivered: u64,
    /// Sequence of the last event that was delivered, 0 before the first.
    pub last_delivered: u64,
    /// Sequence up to which every event is settled.
    pub settled: u64,
    /// Sequence of the oldest event that was delivered and is not acknowledged; `None` if there is none, or this user
    /// may not look at the stream's events (`STREAM.MSG.GET`).
    pub oldest_unacknowledged: Option<u64>,
    /// Time at which that event was stored.
    pub oldest_unacknowledged_since: Option<SystemTime>,
    /// Number of requests for events that wait, of all processes.
    pub waiting_pulls: u64,
}

/// One page of `STREAM.LIST` or `CONSUMER.LIST`.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    total: usize,
    #[serde(alias = "streams", alias = "consumers")]
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct ListedStream {
    config: ListedConfig,
    created: String,
    state: ListedEvents,
    cluster: Option<Cluster>,
}

/// Configuration of a stream or a consumer with its metadata as text.
#[derive(Deserialize)]
struct ListedConfig {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    fields: RawConfig,
}

#[derive(Deserialize)]
struct ListedEvents {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    first_ts: String,
    #[serde(default)]
    consumer_count: usize,
}

#[derive(Deserialize)]
struct Cluster {
    leader: Option<String>,
}

#[derive(Deserialize)]
struct ListedConsumer {
    stream_name: String,
    name: String,
    created: String,
    config: ListedConfig,
    delivered: ListedPosition,
    ack_floor: ListedPosition,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_redelivered: u64,
    #[serde(default)]
    num_waiting: u64,
    #[serde(default)]
    num_pending: u64,
}

#[derive(Deserialize)]
struct ListedPosition {
    stream_seq: u64,
}

impl Bus {
    /// Returns the streams of this account, in alphabetical order; on a bus with a prefix those whose names begin with
    /// it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`](crate::ErrorKind::JetStream) without JetStream, otherwise those of a request, as of
    /// [`declare`](Self::declare). It needs the permission for `$JS.API.STREAM.LIST`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Error> {
    /// for stream in bus.streams().await? {
    ///     println!("{}: {} events, {} consumers", stream.name, stream.events, stream.consumers);
    ///     for consumer in bus.consumers(&stream.name).await? {
    ///         println!("  {}: {} behind, {} at work", consumer.name, consumer.lag, consumer.unacknowledged);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn streams(&self) -> Result<Vec<EventStreamState>, Error> {
        self.calling().jetstream_or_error()?;
        let api = Api::new(self.calling());
        let listed = list(&api, "STREAM.LIST", &[]).await;
        let listed: Vec<ListedStream> =
            listed.map_err(|error| error.into_error("list the streams"))?;
        let streams = listed.into_iter().map(EventStreamState::from);
        let own = stream_name(self, "");
        let mut streams: Vec<_> = streams
            .filter(|stream| stream.name.starts_with(&own))
            .collect();
        streams.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(streams)
    }

    /// Returns the consumers of a stream, in alphabetical order, those of replays among them. `stream` is the name that
    /// it was declared with, or the one in NATS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`](crate::ErrorKind::JetStream) without JetStream or without that stream, otherwise those
    /// of a request, as of [`declare`](Self::declare). It needs the permission for `$JS.API.CONSUMER.LIST.<stream>`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn run(bus: micro_runtime::Bus) -> Result<(), micro_runtime::Error> {
    /// let consumers = bus.consumers("MARKET").await?;
    /// let late = consumers.iter().filter(|consumer| consumer.lag > 1_000);
    /// println!("{} consumers are late", late.count());
    /// # Ok(()) }
    /// ```
    pub async fn consumers(&self, stream: &str) -> Result<Vec<ConsumerState>, Error> {
        self.calling().jetstream_or_error()?;
        let api = Api::new(self.calling());
        let name = match stream.starts_with(&stream_name(self, "")) {
            true => stream.to_owned(),
            false => stream_name(self, stream),
        };
        let listed = list(&api, "CONSUMER.LIST", &[&name]).await;
        let listed: Vec<ListedConsumer> = listed
            .map_err(|error| error.into_error(&format!("list the consumers of stream `{name}`")))?;
        let mut consumers = Vec::with_capacity(listed.len());
        for consumer in listed {
            consumers.push(consumer_state(&api, consumer).await);
        }
        consumers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(consumers)
    }
}

/// Returns all pages of a list.
async fn list<T: DeserializeOwned>(
    api: &Api<'_>,
    verb: &str,
    names: &[&str],
) -> Result<Vec<T>, ApiError> {
    let mut items = Vec::new();
    loop {
        let request = json!({ "offset": items.len() });
        let page: Page<T> = api.request(verb, names, None, &request).await?;
        let count = items.len();
        items.extend(page.items.unwrap_or_default());
        if items.len() == count || items.len() >= page.total {
            return Ok(items);
        }
    }
}

/// Returns the state of a consumer, with its oldest unacknowledged event: the first that it consumes behind those that
/// are settled.
async fn consumer_state(api: &Api<'_>, listed: ListedConsumer) -> ConsumerState {
    let fields = &listed.config.fields;
    let mut filters = fields.texts("filter_subjects");
    let filter = fields.text("filter_subject");
    filters.extend((!filter.is_empty()).then(|| filter.to_owned()));
    let mut oldest = None;
    if listed.num_ack_pending > 0 {
        let all = [">".to_owned()];
        let patterns = if filters.is_empty() { &all } else { &*filters };
        let start = StartFrom::Sequence(listed.ack_floor.stream_seq + 1);
        for pattern in patterns {
            let found = api.next_message(&listed.stream_name, start, pattern).await;
            let found = found.ok().flatten();
            let found = found.map(|message| {
                (
                    message.sequence,
                    UNIX_EPOCH + Duration::from_nanos(message.stored_ns),
                )
            });
            oldest = match (oldest, found) {
                (Some(one), Some(other)) => Some(std::cmp::min(one, other)),
                (one, other) => one.or(other),
            };
        }
    }
    let last = listed.delivered.stream_seq;
    let oldest = oldest.filter(|(sequence, _)| *sequence <= last);
    ConsumerState {
        description: fields.text("description").to_owned(),
        filters,
        stream: listed.stream_name,
        name: listed.name,
        metadata: listed.config.metadata,
        created: time(&listed.created),
        lag: listed.num_pending,
        unacknowledged: listed.num_ack_pending,
        redelivered: listed.num_redelivered,
        last_delivered: last,
        settled: listed.ack_floor.stream_seq,
        oldest_unacknowledged: oldest.map(|(sequence, _)| sequence),
        oldest_unacknowledged_since: oldest.map(|(_, time)| time),
        waiting_pulls: listed.num_waiting,
    }
}

impl From<ListedStream> for EventStreamState {
    fn from(listed: ListedStream) -> Self {
        let fields = &listed.config.fields;
        Self {
            name: fields.text("name").to_owned(),
            subjects: fields.texts("subjects"),
            description: fields.text("description").to_owned(),
            replicas: usize::try_from(fields.number("num_replicas")).unwrap_or(1),
            metadata: listed.config.metadata,
            created: time(&listed.created),
            events: listed.state.messages,
            bytes: listed.state.bytes,
            first_sequence: listed.state.first_seq,
            last_sequence: listed.state.last_seq,
            first_event: time(&listed.state.first_ts),
            consumers: listed.state.consumer_count,
            leader: listed.cluster.and_then(|cluster| cluster.leader),
        }
    }
}

/// Reads a time of JetStream; `None` for that of no event, which is in the year 1.
fn time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}
