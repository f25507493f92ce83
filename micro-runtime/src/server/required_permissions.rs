//! Subjects that a running server must be allowed to use.

#[cfg(feature = "jetstream")]
use std::sync::Arc;

use async_nats::Subject;
use tokio::sync::broadcast;

use crate::bus::{concerns_inbox, concerns_subject};
use crate::error::{Error, ErrorKind};

/// What a running server needs to be allowed to.
pub(super) struct RequiredPermissions {
    pub(super) subjects: Vec<Subject>,
    pub(super) inbox: Subject,
    /// No stream may store calls as long as this lives.
    #[cfg(feature = "jetstream")]
    pub(super) _claim: Arc<[Subject]>,
}

impl RequiredPermissions {
    /// Turns NATS's words into an error, if they are about this server.
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

    /// Waits for the first violation that is about this server.
    pub(super) async fn violation(&self, violations: &mut broadcast::Receiver<String>) -> Error {
        loop {
            match violations.recv().await {
                Ok(text) => {
                    if let Some(error) = self.error(&text) {
                        return error;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
