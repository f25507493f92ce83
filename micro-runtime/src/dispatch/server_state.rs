//! `ServerState`: the state that all services of one running server have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{
    Concern, Connection, ConnectionState, Connections, Outgoing, PublishError, Refusal,
    RefusalObserver,
};
use crate::context::StopSignal;
use crate::dispatch::callers::Callers;
use crate::dispatch::cancellations::Cancellations;
use crate::dispatch::drop_counts::DropCounts;
use crate::dispatch::timeouts::Timeouts;
use crate::dispatch::unsent_replies::UnsentReplies;
use crate::event::EventCounters;
use crate::execute::ConcurrencyLimit;
use crate::metadata::Metadata;
use crate::observe;
use crate::status::Status;
use crate::stream::Channel;
use crate::wire;

/// State that all services of one running server have in common.
///
/// It is made when the server starts. Calls hold it, so that it lives until the last of them has ended,
/// which may be after the server was dropped.
pub(crate) struct ServerState {
    /// Connection that requests and frames arrive on.
    pub(crate) serving: Arc<Connection>,
    /// Connection that replies and frames leave on; the same by default. See [`leaving`](Self::leaving).
    pub(crate) replying: Arc<Connection>,
    /// Every task that must end before the server has stopped: calls that outlive the poll in their
    /// loop, streams, workers of events. A task outside of it would be lost by a shutdown.
    pub(crate) tasks: TaskTracker,
    /// Threads that run handlers under `#[rpc(blocking)]`, or are about to. They may outlive their calls, and nothing
    /// can end them.
    pub(crate) threads: TaskTracker,
    /// Sent when the server begins to stop, or is dropped.
    pub(crate) stop: StopSignal,
    /// Canceled at the end of the grace period, or when the server is dropped. Handlers that still run
    /// are dropped then, and their callers get `UNAVAILABLE`.
    pub(crate) grace_ended: CancellationToken,
    /// Calls of all services that run now, streams among them.
    pub(crate) call_limit: ConcurrencyLimit,
    /// Streams among the calls that run now. A stream lives longer than a call and holds buffers, so
    /// that it has a lower limit besides.
    pub(crate) stream_limit: ConcurrencyLimit,
    /// Shares of the callers in the limits of streams and memory.
    pub(crate) callers: Callers,
    /// Prefixes that a reply subject may begin with, see [`reply_subject`](Self::reply_subject).
    pub(crate) reply_prefixes: Vec<String>,
    pub(crate) timeouts: Timeouts,
    /// Number of replies that NATS did not let this server publish, as far as it has reported them.
    pub(crate) refused_replies: Arc<AtomicU64>,
    /// All connections of the bus, whose counts STATS shows.
    pub(crate) connections: Connections,
    /// Counts of the server's subscriptions to events; set once they are planned.
    pub(crate) events: OnceLock<Vec<Arc<EventCounters>>>,
    pub(crate) unsent_replies: Arc<UnsentReplies>,
    pub(crate) cancellations: Arc<Cancellations>,
}

impl ServerState {
    /// Counts the replies of this server that NATS refuses, from now on and until the result is dropped.
    ///
    /// A refused publish under a prefix of replies that no call waits under is a reply. With several servers on one
    /// connection it counts for each: NATS reports the connection only. It stops nothing, since a caller chooses
    /// the subject.
    pub(crate) fn observe_refused_replies(&self) -> RefusalObserver {
        let prefixes = self.reply_prefixes.clone();
        let refused = Arc::clone(&self.refused_replies);
        let unsent = Arc::clone(&self.unsent_replies);
        let is_reply =
            move |subject: &str| prefixes.iter().any(|prefix| subject.starts_with(prefix));
        let refusals = self.replying.refusals();
        refusals.observe_replies(move |refusal| match refusal {
            Refusal::Publish(subject) if is_reply(subject) => {
                refused.fetch_add(1, Ordering::Relaxed);
                observe::reply_refused();
                unsent.note(subject);
                Concern::Reply
            }
            _ => Concern::None,
        })
    }

    /// Watches for a refused message to this reply subject, from now on and until the observer is dropped.
    pub(super) fn observe_refused_reply(
        &self,
        subject: &Subject,
    ) -> (Arc<OnceLock<Status>>, RefusalObserver) {
        let refused = Arc::new(OnceLock::new());
        let (own, subject) = (Arc::clone(&refused), subject.clone());
        let count = Arc::clone(&self.refused_replies);
        let observer = self.replying.refusals().observe(move |refusal| {
            if !refusal.is_of_publish(&subject) {
                return Concern::None;
            }
            count.fetch_add(1, Ordering::Relaxed);
            observe::reply_refused();
            let _ = own.set(refusal.status());
            Concern::Reply
        });
        (refused, observer)
    }

    /// Returns the failure of a stream that has ended, whose frames went to `frames_to`, and keeps that subject where
    /// NATS has refused them.
    pub(super) fn failure_of(&self, channel: &Channel, frames_to: &Subject) -> Option<Status> {
        let failure = channel.failure();
        self.unsent_replies.note_end(frames_to, failure.as_ref());
        failure
    }

    /// Returns the subject that a reply goes to; `None` if the request has none, or one outside of the
    /// allowed prefixes. The latter is counted in `drops`, those of the method or the service, and logged.
    ///
    /// A server publishes with its own permissions. If it published to any subject that a caller names,
    /// a caller without those permissions could publish by way of it (docs/PROTOCOL.md, CALL-4).
    pub(super) fn reply_subject(&self, message: &Message, drops: &DropCounts) -> Option<Subject> {
        let reply = message.reply.as_ref()?;
        let is_allowed = self
            .reply_prefixes
            .iter()
            .any(|prefix| reply.starts_with(prefix.as_str()));
        if !is_allowed {
            drops.foreign_reply(reply);
            return None;
        }
        Some(reply.clone())
    }

    /// Returns the connection that replies and frames leave on now: that of requests while their own one is lost.
    pub(super) fn leaving(&self) -> &Arc<Connection> {
        match self.replying.state() {
            ConnectionState::Connected => &self.replying,
            ConnectionState::Disconnected | ConnectionState::Closed => &self.serving,
        }
    }

    /// Returns when the requests that are read now had reached NATS at the latest; `now` if that is not known.
    ///
    /// It is known by messages to itself, which may be held up on their way to NATS. Where replies leave on a
    /// connection of their own, that says nothing about them: a request would be refused as late that can be replied to
    /// in time.
    pub(super) fn requests_reached_by(&self, now: Instant) -> Instant {
        match Arc::ptr_eq(&self.serving, &self.replying) {
            true => self.serving.reached_by(now),
            false => now,
        }
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
        self.leaving().publish(outgoing).await
    }
}
