//! `EventStream`: a JetStream stream of events as a program declares it.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::bus::Bus;

/// Default of [`EventStream::duplicate_window`], that of nats-server.
const DEFAULT_DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Condition under which a stream removes an event before it reaches a limit of age or size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// None: every consumer can read every event, and replays are possible.
    #[default]
    Limits,
    /// Every consumer that exists has acknowledged it. An event without a consumer is not stored.
    Interest,
    /// One consumer has acknowledged it. Filters of consumers must not overlap.
    WorkQueue,
}

/// Declaration of a stream of events: its subjects, limits and number of copies.
///
/// Every program that uses a stream declares it, with [`Bus::declare`] or
/// [`Server::declare`](crate::Server::declare). The first one creates the stream; for the others the stream
/// is compared with the declaration, and a difference is an error that shows both sides. An existing
/// stream is never changed.
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
#[must_use = "a stream is declared with `Bus::declare` or `Server::declare`"]
pub struct EventStream {
    config: Config,
    duplicate_window: Option<Duration>,
}

impl EventStream {
    /// Creates a declaration without subjects: on disk, one copy, no limits.
    ///
    /// The name must not contain a dot, white space, `*` or `>`. On a bus with a prefix the stream is
    /// called `<prefix>-<name>`, with `-` for the dots of the prefix, and its subjects have the prefix too.
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

    /// Adds a subject, which may have wildcards: events published to it are stored. At least one is needed.
    ///
    /// No two streams may have overlapping subjects. Begin those of events with `evt.`, which no method
    /// of a service has.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.config.subjects.push(subject.into());
        self
    }

    /// Sets the number of copies, each on another server of a cluster: 1 to 5, 1 by default. With three, the
    /// stream survives the loss of one server.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.config.num_replicas = replicas;
        self
    }

    /// Sets when events are removed besides the limits. [`Retention::Limits`] by default.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = match retention {
            Retention::Limits => RetentionPolicy::Limits,
            Retention::Interest => RetentionPolicy::Interest,
            Retention::WorkQueue => RetentionPolicy::WorkQueue,
        };
        self
    }

    /// Removes events that are older. No limit by default.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.config.max_age = age;
        self
    }

    /// Removes the oldest events above this size of the stream in bytes. No limit by default.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.config.max_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self
    }

    /// Removes the oldest events above this number of events in the stream. No limit by default.
    pub fn max_events(mut self, events: u64) -> Self {
        self.config.max_messages = i64::try_from(events).unwrap_or(i64::MAX);
        self
    }

    /// Removes the oldest events of a subject above this number of events with the same subject. No limit by
    /// default; 1 keeps the last event of each.
    pub fn max_events_per_subject(mut self, events: u64) -> Self {
        self.config.max_messages_per_subject = i64::try_from(events).unwrap_or(i64::MAX);
        self
    }

    /// Rejects new events at a limit of bytes or events instead of removing the oldest. Publishing to
    /// a full stream fails, at its timeout at the latest.
    pub fn refuse_when_full(mut self) -> Self {
        self.config.discard = DiscardPolicy::New;
        self
    }

    /// Stores the events in memory instead of on disk: they are lost when the last server with a copy
    /// stops.
    pub fn in_memory(mut self) -> Self {
        self.config.storage = StorageType::Memory;
        self
    }

    /// Sets the time within which an event with the same id is not stored again. 2 minutes by default, or
    /// `max_age` if that is less.
    ///
    /// Keep it well above the timeout of publishing, 20 s by default: an event that is sent again outside
    /// of the window is stored twice.
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = Some(window);
        self
    }

    /// Returns the configuration with name and subjects as they are, for callers that know them as NATS
    /// does.
    pub(super) fn into_config(self) -> Config {
        let duplicate_window = self.effective_duplicate_window();
        Config {
            duplicate_window,
            ..self.config
        }
    }

    /// Returns the configuration on a bus, whose prefix becomes part of the name and the subjects.
    pub(super) fn config_on(&self, bus: &Bus) -> Config {
        let mut config = self.clone().into_config();
        config.name = stream_name(bus, &config.name);
        config.subjects = config
            .subjects
            .iter()
            .map(|subject| bus.subject(subject).into_string())
            .collect();
        config
    }

    /// Returns the window as nats-server has it: never longer than `max_age`, or the server would report
    /// another one than was declared.
    fn effective_duplicate_window(&self) -> Duration {
        self.duplicate_window.unwrap_or(match self.config.max_age {
            Duration::ZERO => DEFAULT_DUPLICATE_WINDOW,
            age => age.min(DEFAULT_DUPLICATE_WINDOW),
        })
    }
}

/// Returns the name in NATS of a stream that is called `name` on this bus.
pub(super) fn stream_name(bus: &Bus, name: &str) -> String {
    match bus.prefix() {
        Some(prefix) => format!("{}-{name}", prefix.replace('.', "-")),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_subjects_have_the_prefix_of_the_bus() {
        let bus = Bus::in_process().with_prefix("eu.staging").unwrap();
        let config = EventStream::named("MARKET")
            .subject("evt.>")
            .config_on(&bus);
        assert_eq!(config.name, "eu-staging-MARKET");
        assert_eq!(config.subjects, ["eu.staging.evt.>"]);
    }
}
