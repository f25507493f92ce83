//! `EventStream`: a JetStream stream of events as a program declares it.

use std::time::Duration;

use crate::bus::Bus;
use crate::jetstream::declaration::StreamDeclaration;
use crate::jetstream::on_difference::{DifferenceRules, OnDifference};
use crate::jetstream::raw_config::RawConfig;

/// Default of [`EventStream::duplicate_window`], that of nats-server.
const DEFAULT_DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Condition under which a stream removes an event before it reaches a limit of age or size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// None: every consumer can read every event, and replays are possible.
    #[default]
    Limits,
    /// Every consumer that exists has acknowledged it.
    ///
    /// An event that no consumer takes when it is published is acknowledged to its publisher and not stored: start the
    /// consumers first. A declaration logs a warning while the stream has none.
    Interest,
    /// One consumer has acknowledged it. Filters of consumers must not overlap.
    WorkQueue,
}

/// Declaration of a stream of events: its subjects, limits and number of copies.
///
/// Every program that uses a stream declares it, with [`Bus::declare`] or
/// [`Server::declare`](crate::Server::declare). The first one creates the stream; for the others the stream
/// is compared with the declaration, and a difference is an error that shows both sides, unless
/// [`on_difference`](Self::on_difference) is set.
///
/// A declared stream that is gone later is declared again: after a reconnect, as where nats-server has lost a stream
/// [in memory](Self::in_memory), and where a publish or a consumer of this process finds that it is missing. Its events
/// are lost, and its sequences begin at 1 again.
///
/// It has a description and metadata (`micro.declared_by`, the name of the program), which `nats stream info` shows,
/// and can be read directly from all its copies (`allow_direct`).
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
    name: String,
    subjects: Vec<String>,
    config: RawConfig,
    max_age: Duration,
    duplicate_window: Option<Duration>,
    rules: DifferenceRules,
}

impl EventStream {
    /// Creates a declaration without subjects: on disk, one copy, no limits.
    ///
    /// The name must not contain a dot, white space, `*` or `>`. On a bus with a prefix the stream is
    /// called `<prefix>-<name>`, with `-` for the dots of the prefix, and its subjects have the prefix too.
    pub fn named(name: impl Into<String>) -> Self {
        let mut config = RawConfig::default();
        for limit in ["max_bytes", "max_msgs", "max_msgs_per_subject"] {
            config.set(limit, -1);
        }
        config.set("num_replicas", 1);
        config.set("retention", "limits");
        config.set("storage", "file");
        config.set("discard", "old");
        config.set("allow_direct", true);
        Self {
            name: name.into(),
            subjects: Vec::new(),
            config,
            max_age: Duration::ZERO,
            duplicate_window: None,
            rules: DifferenceRules::default(),
        }
    }

    /// Adds a subject, which may have wildcards: events published to it are stored. At least one is needed.
    ///
    /// No two streams may have overlapping subjects. Begin those of events with `evt.`, which no method
    /// of a service has.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subjects.push(subject.into());
        self
    }

    /// Sets the number of copies, each on another server of a cluster: 1 to 5, 1 by default. With three, the
    /// stream survives the loss of one server.
    pub fn replicas(self, replicas: usize) -> Self {
        self.set(
            "num_replicas",
            i64::try_from(replicas.max(1)).unwrap_or(i64::MAX),
        )
    }

    /// Sets when events are removed besides the limits. [`Retention::Limits`] by default.
    pub fn retention(self, retention: Retention) -> Self {
        let name = match retention {
            Retention::Limits => "limits",
            Retention::Interest => "interest",
            Retention::WorkQueue => "workqueue",
        };
        self.set("retention", name)
    }

    /// Removes events that are older. No limit by default.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Removes the oldest events above this size of the stream in bytes. No limit by default.
    ///
    /// Keep it at twice the server's `max_payload` or more, 2 MiB as a rule: an event above the limit is acknowledged
    /// to its publisher and removed at once. A declaration below logs a warning.
    pub fn max_bytes(self, bytes: u64) -> Self {
        self.set("max_bytes", i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    /// Removes the oldest events above this number of events in the stream. No limit by default.
    pub fn max_events(self, events: u64) -> Self {
        self.set("max_msgs", i64::try_from(events).unwrap_or(i64::MAX))
    }

    /// Removes the oldest events of a subject above this number of events with the same subject. No limit by
    /// default; 1 keeps the last event of each.
    pub fn max_events_per_subject(self, events: u64) -> Self {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.set("max_msgs_per_subject", events)
    }

    /// Rejects new events at a limit of bytes or events instead of removing the oldest. Publishing to
    /// a full stream fails at once with [`Code::ResourceExhausted`](crate::Code::ResourceExhausted).
    pub fn refuse_when_full(self) -> Self {
        self.set("discard", "new")
    }

    /// Stores the events in memory instead of on disk: they are lost when the last server with a copy
    /// stops. The stream is declared again then, as all that are gone.
    pub fn in_memory(self) -> Self {
        self.set("storage", "memory")
    }

    /// Sets the time within which an event with the same id is not stored again. 2 minutes by default, also for zero,
    /// or `max_age` if that is less.
    ///
    /// Keep it well above the timeout of publishing, 20 s by default: an event that is sent again outside
    /// of the window is stored twice.
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = (!window.is_zero()).then_some(window);
        self
    }

    /// Sets the description that operators see, in place of a generated one with the subjects.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::jetstream::EventStream;
    ///
    /// let market = EventStream::named("MARKET")
    ///     .subject("evt.market.>")
    ///     .description("trades and ticks of all venues; owner: team core");
    /// # let _ = market;
    /// ```
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.rules.is_described = true;
        self.set("description", text.into())
    }

    /// Sets the effect on a stream that exists with other settings. [`OnDifference::Fail`] by default.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::jetstream::{EventStream, OnDifference};
    ///
    /// // A tool that reads what others have declared.
    /// let market = EventStream::named("MARKET")
    ///     .subject("evt.market.>")
    ///     .on_difference(OnDifference::Keep);
    /// # let _ = market;
    /// ```
    pub fn on_difference(mut self, effect: OnDifference) -> Self {
        self.rules.on_difference = effect;
        self
    }

    /// Permits [`OnDifference::Update`] to delete events, as a limit does that the stream exceeds. Without it such a
    /// declaration fails, with the number of events that are stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::jetstream::{EventStream, OnDifference};
    ///
    /// let market = EventStream::named("MARKET")
    ///     .subject("evt.market.>")
    ///     .max_events(1_000)
    ///     .on_difference(OnDifference::Update)
    ///     .allow_deleting();
    /// # let _ = market;
    /// ```
    pub fn allow_deleting(mut self) -> Self {
        self.rules.may_delete = true;
        self
    }

    /// Sets the version of this declaration, from 1; none by default. With [`OnDifference::Update`] the highest one
    /// wins, see there.
    ///
    /// # Examples
    ///
    /// ```
    /// use micro_runtime::jetstream::{EventStream, OnDifference};
    ///
    /// let market = EventStream::named("MARKET")
    ///     .subject("evt.market.>")
    ///     .on_difference(OnDifference::Update)
    ///     .version(2);
    /// # let _ = market;
    /// ```
    pub fn version(mut self, version: u64) -> Self {
        self.rules.version = Some(version);
        self
    }

    fn set(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.config.set(key, value);
        self
    }

    /// Returns the declaration with name and subjects as they are, for callers that know them as NATS
    /// does.
    pub(super) fn into_declaration(self) -> StreamDeclaration {
        let duplicate_window = self.effective_duplicate_window();
        let Self {
            name,
            subjects,
            mut config,
            ..
        } = self;
        config.describe(
            format!("events of {}", subjects.join(", ")),
            self.rules.version,
        );
        config.set("name", name.as_str());
        config.set_duration("max_age", self.max_age);
        config.set_duration("duplicate_window", duplicate_window);
        config.set("subjects", subjects.clone());
        StreamDeclaration {
            name,
            subjects,
            config,
            rules: self.rules,
        }
    }

    /// Returns the declaration on a bus, whose prefix becomes part of the name and the subjects.
    pub(super) fn declaration_on(&self, bus: &Bus) -> StreamDeclaration {
        let mut stream = self.clone();
        stream.name = stream_name(bus, &self.name);
        let subjects = self.subjects.iter();
        stream.subjects = subjects
            .map(|subject| bus.subject(subject).into_string())
            .collect();
        stream.into_declaration()
    }

    /// Adds an entry to the metadata.
    pub(super) fn metadata(mut self, key: &str, text: &str) -> Self {
        self.config.set_metadata(key, text);
        self
    }

    /// Returns the window as nats-server has it: never longer than `max_age`, or the server would report
    /// another one than was declared.
    fn effective_duplicate_window(&self) -> Duration {
        self.duplicate_window.unwrap_or(match self.max_age {
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
        let declaration = EventStream::named("MARKET")
            .subject("evt.>")
            .declaration_on(&bus);
        assert_eq!(declaration.name, "eu-staging-MARKET");
        assert_eq!(declaration.subjects, ["eu.staging.evt.>"]);
        assert_eq!(declaration.config.text("name"), "eu-staging-MARKET");
        assert_eq!(declaration.config.texts("subjects"), ["eu.staging.evt.>"]);
    }

    #[test]
    fn a_window_of_zero_is_the_default() {
        let window = |stream: EventStream| {
            let declaration = stream.declaration_on(&Bus::in_process());
            declaration.config.duration("duplicate_window")
        };
        let stream = EventStream::named("MARKET").duplicate_window(Duration::ZERO);
        assert_eq!(window(stream.clone()), DEFAULT_DUPLICATE_WINDOW);
        let hour = Duration::from_secs(3600);
        assert_eq!(
            window(stream.clone().max_age(hour)),
            DEFAULT_DUPLICATE_WINDOW
        );
        let second = Duration::from_secs(1);
        assert_eq!(window(stream.max_age(second)), second);
    }
}
