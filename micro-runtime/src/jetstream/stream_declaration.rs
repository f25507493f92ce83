//! `Bus::declare`: creates a stream as it is declared, or compares the one that exists.

use std::time::SystemTime;

use async_nats::jetstream::ErrorCode;

use crate::bus::Bus;
use crate::error::{Error, ErrorKind};
use crate::jetstream::api::Api;
use crate::jetstream::config_api::{ConfigChange, StreamDetails};
use crate::jetstream::declaration::StreamDeclaration;
use crate::jetstream::differences::Comparison;
use crate::jetstream::event_stream::EventStream;
use crate::jetstream::redeclaration;
use crate::jetstream::stream_settings::{STREAM_SETTINGS, deletions};

impl Bus {
    /// Creates a stream, or compares the one that exists with the declaration.
    ///
    /// By default an existing stream is never changed: two versions of a program that declare it differently would
    /// otherwise change it in turns. [`EventStream::on_difference`] changes that. A stream that is gone later, also by
    /// a restart of nats-server, is declared again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`], when
    /// - the existing stream differs, unless [`OnDifference`](crate::jetstream::OnDifference) permits it; the message
    ///   shows both sides of each difference,
    /// - one of its subjects covers the subject of a method that is served over this connection, or belongs
    ///   to another stream,
    /// - JetStream is not enabled or rejects the stream,
    /// - the bus is inside one process.
    ///
    /// [`ErrorKind::Permission`] if NATS refuses a request to JetStream's API, [`ErrorKind::Connect`] or
    /// [`ErrorKind::Timeout`] if the connection is lost or no reply comes within 10 s.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use micro_runtime::Bus;
    /// use micro_runtime::jetstream::EventStream;
    ///
    /// # async fn run() -> Result<(), micro_runtime::Error> {
    /// let bus = Bus::connect("nats://127.0.0.1:4222").await?;
    /// bus.declare(&EventStream::named("MARKET").subject("evt.market.>")).await?;
    /// # Ok(()) }
    /// ```
    pub async fn declare(&self, stream: &EventStream) -> Result<(), Error> {
        self.calling().jetstream_or_error()?;
        let declared = stream.declaration_on(self);
        if declared.subjects.is_empty() {
            let text = format!(
                "stream `{}` has no subject; say which events it stores",
                declared.name
            );
            return Err(Error::new(ErrorKind::JetStream, text));
        }
        self.subject_claims()
            .claim_stream(&declared.name, &declared.subjects)?;
        let found = declare(&Api::new(self.calling()), &declared).await?;
        warn_of_losses(&found, self.calling().max_payload());
        redeclaration::keep(self.calling(), &declared)?;
        redeclaration::keep(self.consuming(), &declared)
    }
}

/// Creates a stream for dead letters, or compares the one that exists. `name` and `subject` are those of
/// NATS, with the prefix of the bus.
///
/// # Errors
///
/// As [`Bus::declare`].
pub(super) async fn declare_dead_letter_stream(
    api: &Api<'_>,
    name: String,
    subject: String,
    replicas: usize,
) -> Result<(), Error> {
    let origin = name.rsplit_once("-DLQ");
    let origin = origin.map_or(&*name, |(origin, _)| origin).to_owned();
    let description = format!("dead letters of consumers of stream {origin}");
    let stream = EventStream::named(name)
        .subject(subject)
        .replicas(replicas)
        .metadata("micro.dead_letters_of", &origin)
        .description(description);
    let declared = stream.into_declaration();
    declare(api, &declared).await?;
    redeclaration::keep(api.connection(), &declared)
}

/// Creates a stream, or compares the one that exists; returns what is there then.
async fn declare(api: &Api<'_>, declared: &StreamDeclaration) -> Result<StreamDetails, Error> {
    if let Some(found) = find(api, &declared.name).await? {
        return settle(api, declared, found).await;
    }
    match api.put_stream(ConfigChange::Create, &declared.config).await {
        Ok(created) => Ok(created),
        // Another process may have created it meanwhile.
        Err(error) => match find(api, &declared.name).await? {
            Some(found) => settle(api, declared, found).await,
            None => {
                let action = format!("create stream `{}`", declared.name);
                Err(error.into_error(&action))
            }
        },
    }
}

/// Compares a stream, and updates it where its declaration permits that; returns what is there then.
async fn settle(
    api: &Api<'_>,
    declared: &StreamDeclaration,
    found: StreamDetails,
) -> Result<StreamDetails, Error> {
    let name = &declared.name;
    let comparison = Comparison {
        subject: format!("stream `{name}`"),
        command: format!("`nats stream edit {name}`"),
        settings: STREAM_SETTINGS,
        declared: &declared.config,
        found: &found.config,
        rules: declared.rules,
    };
    let deletions = || {
        deletions(
            &declared.config,
            &found.config,
            &found.state,
            SystemTime::now(),
        )
    };
    match comparison.resolve(deletions)? {
        None => Ok(found),
        Some(config) => {
            let updated = api.put_stream(ConfigChange::Update, &config).await;
            updated.map_err(|error| error.into_error(&format!("update stream `{name}`")))
        }
    }
}

/// Returns a stream; `None` if there is none with this name.
pub(super) async fn find(api: &Api<'_>, name: &str) -> Result<Option<StreamDetails>, Error> {
    match api.stream_details(name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.is(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
        Err(error) => Err(error.into_error(&format!("look up stream `{name}`"))),
    }
}

/// Logs a warning for a stream that acknowledges events and does not store them.
fn warn_of_losses(stream: &StreamDetails, max_payload: usize) {
    let config = &stream.config;
    let name = config.text("name");
    if config.text("retention") == "interest" && stream.state.consumer_count == 0 {
        tracing::warn!(
            stream = name,
            "a stream with the retention `Interest` has no consumer: its events are acknowledged and not stored"
        );
    }
    let max_bytes = config.number("max_bytes");
    let enough = i64::try_from(max_payload.saturating_mul(2)).unwrap_or(i64::MAX);
    if (1..enough).contains(&max_bytes) && config.text("discard") == "old" {
        tracing::warn!(
            stream = name,
            max_bytes,
            max_payload,
            "the `max_bytes` of a stream is less than twice the length of a message: an event that does not fit is \
             acknowledged and removed at once"
        );
    }
}
