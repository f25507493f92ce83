//! State that all endpoints of one running server share.

use std::sync::Arc;

use async_nats::{Message, Subject};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Connection;
use crate::dispatch::options::Timeouts;
use crate::execute::ConcurrencyLimit;
use crate::observe;

/// What all endpoints of one running server share.
pub(crate) struct ServerState {
    pub(crate) connection: Arc<Connection>,
    /// The calls that outlive the loop that took them.
    pub(crate) tasks: TaskTracker,
    /// Ends the calls that are left when the grace period is over.
    pub(crate) end: CancellationToken,
    pub(crate) in_flight: ConcurrencyLimit,
    /// The streams among them.
    pub(crate) streams: ConcurrencyLimit,
    pub(crate) reply_prefixes: Vec<String>,
    pub(crate) timeouts: Timeouts,
}

impl ServerState {
    /// Where the answer goes; `None`, with a word in the log, if no answer may be sent there.
    ///
    /// Publishing wherever a caller says would lend him the rights of this service.
    pub(super) fn reply_subject(&self, message: &Message, name: &'static str) -> Option<Subject> {
        let reply = message.reply.as_ref()?;
        let is_allowed = self
            .reply_prefixes
            .iter()
            .any(|prefix| reply.starts_with(prefix.as_str()));
        if !is_allowed {
            observe::dropped(name);
            tracing::warn!(
                method = name,
                %reply,
                "dropped a request: its reply subject is outside the allowed prefixes"
            );
            return None;
        }
        Some(reply.clone())
    }
}
