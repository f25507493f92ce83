//! Messages of the carrier over a NATS connection.

use async_nats::{Client, Subject};

use crate::bus::outgoing::{Outgoing, PublishError};
use crate::error::{Error, ErrorKind};
use crate::subject::raw_flaw;
use crate::wire::subject;

/// Returns a new inbox under this prefix.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] if the prefix cannot begin a subject, as the pattern of a permission cannot.
pub(crate) fn new_inbox(prefix: &str) -> Result<Subject, Error> {
    match raw_flaw(prefix, false) {
        None => Ok(subject::new_inbox(prefix)),
        Some(flaw) => Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "the inbox prefix `{prefix}` cannot begin a subject: {flaw}; set `NATS_INBOX_PREFIX` or \
                 `ConnectOptions::inbox_prefix` to its first tokens, as `_INBOX.client` where `_INBOX.client.>` \
                 is allowed"
            ),
        )),
    }
}

/// Hands a message to async-nats's connection task; waits while its queue of commands is full.
pub(crate) async fn publish(client: &Client, outgoing: Outgoing) -> Result<(), PublishError> {
    let Outgoing {
        subject,
        reply,
        headers,
        payload,
    } = outgoing;
    let published = match (reply, headers) {
        (None, None) => client.publish(subject, payload).await,
        (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
        (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
        (Some(reply), Some(headers)) => {
            client
                .publish_with_reply_and_headers(subject, reply, headers, payload)
                .await
        }
    };
    published.map_err(|error| not_published(client, error))
}

/// Converts an error of async-nats, which reports a message that is too long without the limit.
pub(super) fn not_published(client: &Client, error: async_nats::PublishError) -> PublishError {
    match error.kind() {
        async_nats::PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge {
            max: client.max_payload(),
        },
        async_nats::PublishErrorKind::Send => PublishError::Disconnected,
        async_nats::PublishErrorKind::InvalidSubject => PublishError::Failed(error),
    }
}
