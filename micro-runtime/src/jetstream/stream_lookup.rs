//! Finds the stream of events by their subject, where a program does not name it.

use crate::error::{Error, ErrorKind};
use crate::jetstream::api::{Api, ApiError};
use crate::status::Status;

/// Result of looking for the stream of a subject or pattern.
pub(super) enum FoundStream {
    One(String),
    None,
    /// Several streams store some of the events each; to read one of them would leave the others out.
    Many(Vec<String>),
}

/// Looks for the streams that store something of `subject`.
async fn look_up(api: &Api<'_>, subject: &str) -> Result<FoundStream, ApiError> {
    let mut names = api.streams_of(subject).await?;
    Ok(match names.len() {
        0 => FoundStream::None,
        1 => FoundStream::One(names.remove(0)),
        _ => {
            names.sort();
            FoundStream::Many(names)
        }
    })
}

/// Returns the name of the stream that a durable consumer reads, which is called `consumer`.
///
/// # Errors
///
/// [`ErrorKind::JetStream`] if there is none, or more than one; otherwise those of a request to JetStream.
pub(super) async fn stream_to_consume(
    api: &Api<'_>,
    filter: &str,
    consumer: &str,
) -> Result<String, Error> {
    let found = look_up(api, filter).await;
    let found =
        found.map_err(|error| error.into_error(&format!("look up the stream of `{filter}`")))?;
    let text = match found {
        FoundStream::One(name) => return Ok(name),
        FoundStream::None => {
            format!("no stream stores `{filter}`, which `{consumer}` is to consume; declare one")
        }
        FoundStream::Many(names) => format!(
            "{}, which `{consumer}` is to consume; choose one with `Durable::stream`",
            ambiguity(&names, filter)
        ),
    };
    Err(Error::new(ErrorKind::JetStream, text))
}

/// Returns the name of the stream that a replay reads.
///
/// # Errors
///
/// `NOT_FOUND` if there is none, and `FAILED_PRECONDITION` if there are several; otherwise those of a request to
/// JetStream.
pub(super) async fn stream_to_replay(api: &Api<'_>, filter: &str) -> Result<String, Status> {
    let found = look_up(api, filter).await;
    let found = found.map_err(|error| {
        error.into_status(&format!("the stream of `{filter}` cannot be looked up"))
    })?;
    match found {
        FoundStream::One(name) => Ok(name),
        FoundStream::None => Err(Status::not_found(format!("no stream stores `{filter}`"))),
        FoundStream::Many(names) => Err(Status::failed_precondition(format!(
            "{}; choose one with `ReplayBuilder::stream`",
            ambiguity(&names, filter)
        ))),
    }
}

fn ambiguity(names: &[String], filter: &str) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("streams {} store events of `{filter}`", names.join(" and "))
}
