//! The error of this crate: a sentence for the developer whose test fails.

use std::fmt;

/// Description of a failure, with the remedy if there is one.
///
/// `Debug` prints the sentence as well, so that `unwrap` in a test and `?` in a `main` read well.
pub struct Error {
    message: String,
    source: Option<std::io::Error>,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// Creates an error from an I/O error and the failed action, as in `cannot start /opt/nats-server`.
    pub(crate) fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        Self {
            message: action.into(),
            source: Some(source),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
