//! `Bus::declare`: creates a stream as it is declared, or compares the one that exists.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::Config;

use crate::bus::Bus;
use crate::error::{Error, ErrorKind};
use crate::jetstream::api::Api;
use crate::jetstream::differences::Differences;
use crate::jetstream::event_stream::EventStream;

impl Bus {
    /// Creates a stream, or compares the one that exists with the declaration. An existing stream is never
    /// changed: two versions of a program that declare it differently would otherwise change it in turns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JetStream`], when
    /// - the existing stream differs; the message shows both sides of each difference,
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
        let declared = stream.config_on(self);
        if declared.subjects.is_empty() {
            let text = format!(
                "stream `{}` has no subject; say which events it stores",
                declared.name
            );
            return Err(Error::new(ErrorKind::JetStream, text));
        }
        self.subject_claims()
            .claim_stream(&declared.name, &declared.subjects)?;
        create_or_compare(&Api::new(self.calling()), declared).await
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
    let stream = EventStream::named(name).subject(subject).replicas(replicas);
    create_or_compare(api, stream.into_config()).await
}

async fn create_or_compare(api: &Api<'_>, declared: Config) -> Result<(), Error> {
    if let Some(found) = find(api, &declared.name).await? {
        return compare(&declared, &found);
    }
    match api.create_stream(&declared).await {
        Ok(_) => Ok(()),
        // Another process may have created it meanwhile.
        Err(error) => match find(api, &declared.name).await? {
            Some(found) => compare(&declared, &found),
            None => {
                let action = format!("create stream `{}`", declared.name);
                Err(error.into_error(&action))
            }
        },
    }
}

async fn find(api: &Api<'_>, name: &str) -> Result<Option<Config>, Error> {
    match api.stream_info(name).await {
        Ok(stream) => Ok(Some(stream.config)),
        Err(error) if error.is(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
        Err(error) => Err(error.into_error(&format!("look up stream `{name}`"))),
    }
}

/// Compares the settings that a declaration has. Others, such as the placement in a cluster, are left to
/// operators.
fn compare(declared: &Config, found: &Config) -> Result<(), Error> {
    let sorted = |config: &Config| {
        let mut subjects = config.subjects.clone();
        subjects.sort();
        subjects.join(", ")
    };
    let mut differences = Differences::default();
    differences.text("subjects", &sorted(declared), &sorted(found));
    differences.debug("retention", declared.retention, found.retention);
    differences.debug("storage", declared.storage, found.storage);
    differences.debug("discard", declared.discard, found.discard);
    differences.debug(
        "replicas",
        declared.num_replicas.max(1),
        found.num_replicas.max(1),
    );
    differences.duration("max_age", declared.max_age, found.max_age);
    differences.limit("max_bytes", declared.max_bytes, found.max_bytes);
    differences.limit("max_events", declared.max_messages, found.max_messages);
    differences.limit(
        "max_events_per_subject",
        declared.max_messages_per_subject,
        found.max_messages_per_subject,
    );
    differences.duration(
        "duplicate_window",
        declared.duplicate_window,
        found.duplicate_window,
    );
    let name = &declared.name;
    differences.into_result(
        &format!("stream `{name}`"),
        &format!("`nats stream edit {name}`"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_difference_shows_both_sides() {
        let bus = Bus::in_process();
        let declared = EventStream::named("MARKET")
            .subject("evt.market.>")
            .replicas(3);
        let found = EventStream::named("MARKET")
            .subject("evt.>")
            .max_age(Duration::from_secs(60));
        let error = compare(&declared.config_on(&bus), &found.config_on(&bus)).unwrap_err();
        let expected = "stream `MARKET` is not as declared:
  subjects: expected evt.market.>, found evt.>
  replicas: expected 3, found 1
  max_age: expected unlimited, found 60s
  duplicate_window: expected 120s, found 60s
change the declaration, or what is there (`nats stream edit MARKET`)";
        assert_eq!(error.to_string(), expected);
        compare(&declared.config_on(&bus), &declared.config_on(&bus)).unwrap();
    }
}
