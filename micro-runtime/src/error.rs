//! `Error` and `ErrorKind`: failures outside of calls, of connecting, starting, declaring and stopping.
//!
//! A call fails with a `Status`, which crosses the wire; an `Error` never leaves its process.

use std::error::Error as StdError;
use std::fmt;

use crate::printable::Printable;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Failure of a bus, a server or a stream of events outside of a call.
///
/// Programs branch on [`kind`](Error::kind); people read `Display`, which is one sentence with the names of
/// what failed. `source` is the error below it, if there is one, for its text: its type may change with any release.
/// `Debug` prints the whole chain, since that is what `fn main() -> Result<(), Error>` shows. Control characters are
/// shown escaped, so that no text of a peer forges a line of a log.
///
/// # Examples
///
/// ```
/// use micro_runtime::{Bus, ErrorKind};
///
/// let error = Bus::in_process().with_prefix("eu staging").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Configuration);
/// assert_eq!(
///     error.to_string(),
///     "`eu staging` cannot be a subject prefix: it has white space or a control character",
/// );
/// ```
pub struct Error {
    kind: ErrorKind,
    message: String,
    lines: Vec<String>,
    source: Option<BoxError>,
}

/// Class of an [`Error`], to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// NATS cannot be reached, or the connection is closed. Trying again later may help.
    Connect,
    /// A setting is invalid: an environment variable, the URL of a server, a prefix, a credentials file.
    Configuration,
    /// NATS rejects a subject that a server needs, at its start or later while it runs.
    Permission,
    /// A service cannot be served as it is declared: two endpoints on one subject, a name or a version
    /// that ADR-32 does not allow, an event subject that covers a call subject.
    Service,
    /// A stream or a consumer differs from its declaration, would store calls, or cannot be created; or
    /// the bus has no JetStream.
    JetStream,
    /// The operation needs a tokio runtime, and is polled outside of one.
    Runtime,
    /// NATS did not confirm an operation in time. It may have taken effect.
    Timeout,
}

impl Error {
    /// Makes an error without a source; `message` is a lower-case sentence that quotes the user's names.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            lines: Vec::new(),
            source: None,
        }
    }

    /// Adds lines that are shown below the message.
    #[cfg(any(feature = "jetstream", test))]
    pub(crate) fn with_lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// Adds a half-sentence to the message.
    pub(crate) fn with_remark(mut self, remark: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(remark);
        self
    }

    /// Adds the error that caused this one. Its text is not repeated in the message.
    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(&self.message))?;
        let mut lines = self.lines.iter();
        lines.try_for_each(|line| write!(f, "\n{}", Printable(line)))
    }
}

/// The report that `fn main() -> Result<(), Error>` prints: the message, then one line for each source.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.kind)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, "\n  caused by: {}", Printable(cause))?;
            source = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn texts_of_peers_forge_no_line() {
        let error = Error::new(ErrorKind::Connect, "no `a\nb`")
            .with_lines(["  x: expected 1, found \r2".to_owned()])
            .with_source(io::Error::other("away\n2026 INFO forged"));
        let shown = "no `a\\nb`\n  x: expected 1, found \\r2";
        assert_eq!(error.to_string(), shown);
        let report = format!("{shown} (Connect)\n  caused by: away\\n2026 INFO forged");
        assert_eq!(format!("{error:?}"), report);
    }
}
