//! Errors of JetStream's API as errors of this crate.

use crate::error::{Error, ErrorKind};

/// Returns an error for a request that JetStream rejected or that got no reply; `action` completes the
/// sentence "JetStream does not …". The server's error is its source.
pub(super) fn jetstream_error(
    action: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(
        ErrorKind::JetStream,
        format!("JetStream does not {action}: {error}"),
    )
    .with_source(error)
}
