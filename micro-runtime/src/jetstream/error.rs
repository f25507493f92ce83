//! Errors of JetStream's API as errors of this crate.

use std::error::Error as StdError;

use async_nats::jetstream::context::{RequestError, RequestErrorKind};

use crate::error::{Error, ErrorKind};

/// Cause of a request to `$JS.API.>` that has no responders: JetStream subscribes to these subjects for each
/// account that it is enabled for.
const NO_JETSTREAM: &str =
    "this nats-server has no JetStream; start it with `-js`, or enable it for this account";

/// Returns an error for a request that JetStream rejected or that got no reply; `action` completes the
/// sentence "JetStream does not …". The server's error is its source.
pub(super) fn jetstream_error(action: &str, error: impl StdError + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::JetStream,
        format!("JetStream does not {action}: {}", cause(&error)),
    )
    .with_source(error)
}

/// Returns the text of an error of JetStream's API. async-nats's own for a request without responders
/// ("requested JetStream resource does not exist") reads as if a stream were missing.
pub(super) fn cause(error: &(impl StdError + 'static)) -> String {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(request) = error.downcast_ref::<RequestError>()
            && request.kind() == RequestErrorKind::NoResponders
        {
            return NO_JETSTREAM.to_owned();
        }
        next = error.source();
    }
    error.to_string()
}
