//! `RequiredPermissions`: the subscriptions that a server cannot run without.

#[cfg(feature = "jetstream")]
use std::sync::Arc;

use async_nats::Subject;

use crate::bus::{ProvenSubscription, Refusal, inbox_refused};
use crate::error::{Error, ErrorKind};
use crate::wire::subject;

/// Subscriptions that a server cannot run without.
///
/// NATS reports a refusal to the whole connection. So a server compares it with its own subscriptions; those of
/// other servers and of subscribers on the bus are not its own, and a refused *publish* never is: a caller chooses
/// what a server publishes to, and could stop it.
pub(super) struct RequiredPermissions {
    /// Subject and queue group of each.
    pub(super) subscriptions: Vec<ProvenSubscription>,
    /// Inbox of the connection, which barriers and nested calls need.
    pub(super) inbox: Subject,
    /// Keeps streams of JetStream from storing calls as long as the server runs.
    #[cfg(feature = "jetstream")]
    pub(super) _claim: Arc<[Subject]>,
}

impl RequiredPermissions {
    /// Returns whether the refusal is of a subscription of this server.
    pub(super) fn is_concerned_by(&self, refusal: &Refusal) -> bool {
        let is_own = |(subject, queue): &ProvenSubscription| {
            refusal.is_of_subscription(subject, queue.as_deref())
        };
        self.is_of_inbox(refusal) || self.subscriptions.iter().any(is_own)
    }

    fn is_of_inbox(&self, refusal: &Refusal) -> bool {
        refusal.is_of_subscription(&subject::reply_pattern(&self.inbox), None)
    }

    /// Returns the error of a server that NATS refuses a subscription.
    pub(super) fn error(&self, refusal: &Refusal) -> Error {
        match refusal {
            Refusal::SubscriptionLimit => {
                let needed = self.subscriptions.len();
                let message = format!(
                    "{}; this server has {needed} subscriptions, and needs one to spare, which shows that the others are in order",
                    refusal.text()
                );
                Error::new(ErrorKind::Permission, message)
            }
            Refusal::Other(_) => Error::new(ErrorKind::Connect, refusal.text()),
            _ if self.is_of_inbox(refusal) => {
                let status = inbox_refused(&self.inbox);
                let message = format!(
                    "a server needs its inbox to prove that it can be reached: {}",
                    status.message()
                );
                Error::new(ErrorKind::Permission, message)
            }
            _ => refusal.error(),
        }
    }
}
