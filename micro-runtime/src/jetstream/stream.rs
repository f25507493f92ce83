//! `EventStream`: a stream as code declares it, created or checked.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context as Api, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::bus::Bus;
use crate::error::{Error, ErrorKind};
use crate::jetstream::difference::Differences;

/// How long JetStream tells a repeated message id by default, as nats-server does.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// When a stream lets go of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// At the stream's limits alone: every consumer reads everything, replays are possible.
    #[default]
    Limits,
    /// Once every consumer that there is has acknowledged it.
    Interest,
    /// Once its one consumer has acknowledged it.
    WorkQueue,
}

/// A stream of events, declared where it is used: what it stores, for how long, in how many copies.
///
/// Every program that uses a stream declares it. The first creates it; for the others it is
/// checked, and a difference is an error that shows both sides. Nothing is changed in silence.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use micro_runtime::Bus;
/// use micro_runtime::jetstream::EventStream;
///
/// # async fn run(bus: Bus) -> Result<(), micro_runtime::Error> {
/// let market = EventStream::named("MARKET")
///     .subject("evt.market.>")
///     .max_age(Duration::from_secs(7 * 24 * 3600));
/// bus.declare(&market).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a stream is declared with `Bus::declare` or `Server::stream`"]
pub struct EventStream {
    config: Config,
    duplicate_window: Option<Duration>,
}

impl EventStream {
    /// Begins a declaration: on disk, one copy, no limits, and no subjects yet.
    ///
    /// The name has no dot, space, `*` or `>`. On a bus with a prefix the stream is called
    /// `<prefix>-<name>`, dots of the prefix written `-`, and its subjects have the prefix, too.
    pub fn named(name: impl Into<String>) -> Self {
        let config = Config {
            name: name.into(),
            num_replicas: 1,
            max_bytes: -1,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_message_size: -1,
            ..Config::default()
        };
        Self {
            config,
            duplicate_window: None,
        }
    }

    /// Stores what is published to this subject, which may have wildcards.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.config.subjects.push(subject.into());
        self
    }

    /// Keeps this many copies, on as many servers of a cluster. 1 by default.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.config.num_replicas = replicas;
        self
    }

    /// Says when an event is let go of. [`Retention::Limits`] by default.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = match retention {
            Retention::Limits => RetentionPolicy::Limits,
            Retention::Interest => RetentionPolicy::Interest,
            Retention::WorkQueue => RetentionPolicy::WorkQueue,
        };
        self
    }

    /// Lets go of events that are older. No limit by default.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.config.max_age = age;
        self
    }

    /// Lets go of the oldest events above this many bytes in all. No limit by default.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.config.max_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self
    }

    /// Lets go of the oldest events above this many. No limit by default.
    pub fn max_events(mut self, events: u64) -> Self {
        self.config.max_messages = i64::try_from(events).unwrap_or(i64::MAX);
        self
    }

    /// Lets go of the oldest events of one subject above this many. No limit by default.
    pub fn max_events_per_subject(mut self, events: u64) -> Self {
        self.config.max_messages_per_subject = i64::try_from(events).unwrap_or(i64::MAX);
        self
    }

    /// Refuses new events at a limit of bytes or events, instead of letting go of old ones.
    pub fn refuse_when_full(mut self) -> Self {
        self.config.discard = DiscardPolicy::New;
        self
    }

    /// Keeps the events in memory: they are gone when their last server stops.
    pub fn in_memory(mut self) -> Self {
        self.config.storage = StorageType::Memory;
        self
    }

    /// How long a repeated message id is told, and the repetition not stored. 2 minutes by default,
    /// or `max_age` if that is less; keep it well above the 20 s that publishing is retried for.
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = Some(window);
        self
    }

    pub(super) fn from_config(config: Config) -> Self {
        Self {
            config,
            duplicate_window: None,
        }
    }

    pub(super) fn into_config(self) -> Config {
        self.config
    }

    /// What NATS is asked for: name and subjects as this bus has them.
    fn config_on(&self, bus: &Bus) -> Config {
        let mut config = self.config.clone();
        config.name = name_on(bus, &config.name);
        config.subjects = config
            .subjects
            .iter()
            .map(|subject| bus.subject(subject).into_string())
            .collect();
        config.duplicate_window = self.duplicate_window.unwrap_or(match config.max_age {
            Duration::ZERO => DUPLICATE_WINDOW,
            age => age.min(DUPLICATE_WINDOW),
        });
        config
    }
}

impl Bus {
    /// Creates a stream, or checks the one that there is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`] when the stream that there is differs, with both sides; when one of
    /// its subjects covers a call subject that is served over this connection, or belongs to
    /// another stream; when JetStream is off or refuses; and on a bus inside one process.
    pub async fn declare(&self, stream: &EventStream) -> Result<(), Error> {
        let api = &self.connection().jetstream_or_error()?.api;
        let wanted = stream.config_on(self);
        if wanted.subjects.is_empty() {
            let text = format!(
                "stream `{}` has no subject; say which events it stores",
                wanted.name
            );
            return Err(Error::new(ErrorKind::JetStream, text));
        }
        self.connection()
            .subject_claims()
            .claim_stream(&wanted.name, &wanted.subjects)?;
        ensure(api, wanted).await
    }
}

/// A stream's name as NATS knows it.
pub(super) fn name_on(bus: &Bus, name: &str) -> String {
    match bus.prefix() {
        Some(prefix) => format!("{}-{name}", prefix.replace('.', "-")),
        None => name.to_owned(),
    }
}

/// Creates or checks a stream whose name and subjects are as NATS knows them.
pub(super) async fn ensure_exactly(api: &Api, stream: &EventStream) -> Result<(), Error> {
    let mut config = stream.config.clone();
    config.duplicate_window = DUPLICATE_WINDOW;
    ensure(api, config).await
}

async fn ensure(api: &Api, wanted: Config) -> Result<(), Error> {
    if let Some(found) = find(api, &wanted.name).await? {
        return compare(&wanted, &found);
    }
    match api.create_stream(wanted.clone()).await {
        Ok(_) => Ok(()),
        // Somebody was faster.
        Err(error) => match find(api, &wanted.name).await? {
            Some(found) => compare(&wanted, &found),
            None => Err(refused(&format!("create stream `{}`", wanted.name), error)),
        },
    }
}

async fn find(api: &Api, name: &str) -> Result<Option<Config>, Error> {
    match api.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(inner)
                if inner.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            _ => Err(refused(&format!("look up stream `{name}`"), error)),
        },
    }
}

pub(super) fn refused(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::JetStream,
        format!("JetStream does not {what}: {error}"),
    )
    .with_source(error)
}

fn compare(wanted: &Config, found: &Config) -> Result<(), Error> {
    let sorted = |config: &Config| {
        let mut subjects = config.subjects.clone();
        subjects.sort();
        subjects.join(", ")
    };
    let mut differences = Differences::default();
    differences.text("subjects", &sorted(wanted), &sorted(found));
    differences.debug("retention", wanted.retention, found.retention);
    differences.debug("storage", wanted.storage, found.storage);
    differences.debug("discard", wanted.discard, found.discard);
    differences.debug(
        "replicas",
        wanted.num_replicas.max(1),
        found.num_replicas.max(1),
    );
    differences.duration("max_age", wanted.max_age, found.max_age);
    differences.limit("max_bytes", wanted.max_bytes, found.max_bytes);
    differences.limit("max_events", wanted.max_messages, found.max_messages);
    differences.limit(
        "max_events_per_subject",
        wanted.max_messages_per_subject,
        found.max_messages_per_subject,
    );
    differences.duration(
        "duplicate_window",
        wanted.duplicate_window,
        found.duplicate_window,
    );
    let name = &wanted.name;
    differences.into_result(
        &format!("stream `{name}`"),
        &format!("`nats stream edit {name}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_subjects_belong_to_the_bus() {
        let bus = Bus::in_process().with_prefix("eu.staging").unwrap();
        let config = EventStream::named("MARKET")
            .subject("evt.>")
            .config_on(&bus);
        assert_eq!(config.name, "eu-staging-MARKET");
        assert_eq!(config.subjects, ["eu.staging.evt.>"]);
    }

    #[test]
    fn a_difference_shows_both_sides() {
        let bus = Bus::in_process();
        let wanted = EventStream::named("MARKET")
            .subject("evt.market.>")
            .replicas(3);
        let found = EventStream::named("MARKET")
            .subject("evt.>")
            .max_age(Duration::from_secs(60));
        let error = compare(&wanted.config_on(&bus), &found.config_on(&bus)).unwrap_err();
        let expected = "stream `MARKET` is not as declared:
  subjects: expected evt.market.>, found evt.>
  replicas: expected 3, found 1
  max_age: expected unlimited, found 60s
  duplicate_window: expected 120s, found 60s
change the declaration, or what is there (`nats stream edit MARKET`)";
        assert_eq!(error.to_string(), expected);
        compare(&wanted.config_on(&bus), &wanted.config_on(&bus)).unwrap();
    }
}
