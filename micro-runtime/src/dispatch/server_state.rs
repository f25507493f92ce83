//! `ServerState`: the state that all services of one running server have in common.

use std::sync::Arc;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Connection, Outgoing, PublishError};
use crate::dispatch::timeouts::Timeouts;
use crate::execute::ConcurrencyLimit;
use crate::metadata::Metadata;
use crate::observe;
use crate::wire;

/// State that all services of one running server have in common.
///
/// It is made when the server starts. Calls hold it, so that it lives until the last of them has ended,
/// which may be after the server was dropped.
pub(crate) struct ServerState {
    pub(crate) connection: Arc<Connection>,
    /// Every task that must end before the server has stopped: calls that outlive the poll in their
    /// loop, streams, workers of events. A task outside of it would be lost by a shutdown.
    pub(crate) tasks: TaskTracker,
    /// Canceled at the end of the grace period, or when the server is dropped. Handlers that still run
    /// are dropped then, and their callers get `UNAVAILABLE`.
    pub(crate) grace_ended: CancellationToken,
    /// Calls of all services that run now, streams among them.
    pub(crate) call_limit: ConcurrencyLimit,
    /// Streams among the calls that run now. A stream lives longer than a call and holds buffers, so
    /// that it has a lower limit besides.
    pub(crate) stream_limit: ConcurrencyLimit,
    /// Prefixes that a reply subject may begin with, see [`reply_subject`](Self::reply_subject).
    pub(crate) reply_prefixes: Vec<String>,
    pub(crate) timeouts: Timeouts,
}

impl ServerState {
    /// Returns the subject that a reply goes to; `None` if the request has none, or one outside of the
    /// allowed prefixes. The latter is counted and logged with `name`, a method or a service.
    ///
    /// A server publishes with its own permissions. If it published to any subject that a caller names,
    /// a caller without those permissions could publish by way of it (docs/PROTOCOL.md, "A unary call",
    /// rule 3).
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

    /// Publishes one message of a reply, waiting while the connection's queue is full. `metadata` is
    /// written into the headers, which are left out if there are none.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooLarge`] if the message does not fit into one NATS message, of which nothing was
    /// sent; [`PublishError::Failed`] if the connection is closed.
    pub(super) async fn publish(
        &self,
        subject: Subject,
        mut headers: Option<HeaderMap>,
        payload: Bytes,
        metadata: &Metadata,
    ) -> Result<(), PublishError> {
        wire::encode_metadata(&mut headers, metadata);
        let outgoing = Outgoing {
            headers,
            ..Outgoing::to(subject, payload)
        };
        self.connection.publish(outgoing).await
    }
}
