//! `RequiredPermissions`: the subjects that a running server must be allowed to use.

#[cfg(feature = "jetstream")]
use std::sync::Arc;

use async_nats::Subject;
use tokio::sync::broadcast;

use crate::bus::{concerns_inbox, concerns_subject};
use crate::error::{Error, ErrorKind};

/// Subjects that a running server must be allowed to use.
///
/// NATS reports a permission violation as a text to the whole connection, without the subscription that
/// it is about. So a server compares each text with its own subjects; the violations of other servers
/// and clients on the bus are not its own.
pub(super) struct RequiredPermissions {
    pub(super) subjects: Vec<Subject>,
    /// Inbox of the connection, which barriers and nested calls need.
    pub(super) inbox: Subject,
    /// Keeps streams of JetStream from storing calls as long as the server runs.
    #[cfg(feature = "jetstream")]
    pub(super) _claim: Arc<[Subject]>,
}

impl RequiredPermissions {
    /// Returns the error that the text of a violation means for this server; `None` if it is about other
    /// subjects.
    pub(super) fn error(&self, violation: &str) -> Option<Error> {
        if let Some(subject) = self
            .subjects
            .iter()
            .find(|s| concerns_subject(violation, s))
        {
            let message =
                format!("NATS does not let this user subscribe to `{subject}`: {violation}");
            return Some(Error::new(ErrorKind::Permission, message));
        }
        let inbox = &self.inbox;
        concerns_inbox(violation, inbox).then(|| {
            let message =
                format!("NATS does not let this user use its own inbox `{inbox}.>`: {violation}");
            Error::new(ErrorKind::Permission, message)
        })
    }

    /// Waits for the first violation that is about this server. Never returns if the connection reports
    /// no more. Cancel safe.
    pub(super) async fn violation(&self, violations: &mut broadcast::Receiver<String>) -> Error {
        loop {
            match violations.recv().await {
                Ok(text) => {
                    if let Some(error) = self.error(&text) {
                        return error;
                    }
                }
                // Texts were missed. A violation that lasts is reported again after the next reconnect.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
