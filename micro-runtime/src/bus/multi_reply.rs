//! `MultiReply`: one request with many replies, and the rules for when to stop waiting for more.
//!
//! Used for calls to all instances and for discovery (docs/PROTOCOL.md, ALL-2). The number of
//! replies is often unknown, and a fixed wait would be too long for one instance and too short for a hundred.
//! So the wait ends as soon as the expected number has arrived, or once no reply has arrived for a stall time.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Message, StatusCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bus::connection::Connection;
use crate::bus::connection_counts::ConnectionCounts;
use crate::bus::mux::{FrameSink, Mux, ReplySlot};
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::bus::runtime::NoRuntime;
use crate::status::Status;

/// Maximum number of replies to one request that have arrived and were not taken; further ones are dropped.
const MAX_QUEUED: usize = 65_536;

/// Maximum number of instances whose replies are told from each other; a peer can make ids up. Further ones count as
/// second replies.
const MAX_INSTANCES: usize = 1 << 16;

/// Maximum number of times that the end of a request looks for a reply that is being delivered on another thread.
const MAX_DRAIN_ATTEMPTS: usize = 100;

/// Limits of the wait for replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyLimits {
    /// Number of replies after which the wait ends, if it is known.
    pub(crate) expected: Option<usize>,
    /// Maximum time from one counted reply to the next. It does not apply to the first, which an instance may need
    /// longer for.
    pub(crate) stall: Duration,
    /// Maximum time from the request to the last reply, and so to the first.
    pub(crate) max_wait: Duration,
}

/// One request in progress, with the replies that have not arrived yet.
///
/// All of them come to one reply slot of the connection, as the frames of a stream do. Dropping it frees the slot:
/// replies that arrive later match no call.
pub(crate) struct MultiReply {
    arrivals: mpsc::Receiver<Result<Message, Status>>,
    limits: ReplyLimits,
    sent: Instant,
    /// The moment at which the wait ends unless a reply arrives before.
    until: Instant,
    counted: usize,
    /// Instances that have replied.
    instances: HashSet<String>,
    mux: Arc<Mux>,
    end: Option<MultiReplyEnd>,
    /// `None` only while it is dropped.
    slot: Option<ReplySlot>,
}

/// Reason why the wait for replies has ended.
#[derive(Clone, Debug)]
pub(crate) enum MultiReplyEnd {
    /// NATS reported that the subject has no subscribers.
    NoResponders,
    /// The expected number of replies has arrived.
    Complete,
    /// No reply has arrived within the stall time, or within the maximum time.
    Stalled,
    /// NATS has refused the request, or the connection was lost.
    Failed(Status),
}

/// Stand-in for durations too large to add to a clock: 30 years.
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Failure to send a request with many replies.
pub(crate) enum RequestError {
    /// There is no tokio runtime to wait in.
    NoRuntime(NoRuntime),
    /// NATS does not let this user send it or receive replies, or the connection is closed.
    Refused(Status),
    /// The request could not be published.
    Unsent(PublishError),
}

/// Receiver of everything that arrives under the reply subject.
struct ReplyCollector {
    arrivals: mpsc::Sender<Result<Message, Status>>,
    /// Whether a message has arrived: NATS has taken the request then.
    has_received: AtomicBool,
    counts: Arc<ConnectionCounts>,
}

impl FrameSink for ReplyCollector {
    fn deliver(&self, message: Message) -> bool {
        self.has_received.store(true, Ordering::Relaxed);
        match self.arrivals.try_send(Ok(message)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.counts.dropped_reply(MAX_QUEUED);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    fn fail(&self, status: &Status) {
        // Without room the replies that wait end it: their reader reaches its limits.
        let _ = self.arrivals.try_send(Err(status.clone()));
    }

    fn refuse(&self, status: &Status, _is_opening: bool) {
        // Otherwise another request to the same subject is refused, behind this one.
        if !self.has_received.load(Ordering::Relaxed) {
            self.fail(status);
        }
    }
}

impl MultiReply {
    /// Publishes the request with a reply subject of its own.
    pub(crate) async fn send(
        connection: &Connection,
        outgoing: Outgoing,
        limits: ReplyLimits,
    ) -> Result<Self, RequestError> {
        NoRuntime::check().map_err(RequestError::NoRuntime)?;
        let mux = connection.mux();
        let (sender, arrivals) = mpsc::channel(MAX_QUEUED);
        let sink = Arc::new(ReplyCollector {
            arrivals: sender,
            has_received: AtomicBool::new(false),
            counts: Arc::clone(mux.counts()),
        });
        let reserved = mux.reserve_for_stream(sink, &outgoing.subject);
        let (mut slot, reply) = reserved.map_err(RequestError::Refused)?;
        let outgoing = Outgoing {
            reply: Some(reply),
            ..outgoing
        };
        let sent = Instant::now();
        connection
            .publish_request(&mut slot, outgoing)
            .await
            .map_err(RequestError::Unsent)?;
        Ok(Self {
            arrivals,
            limits,
            sent,
            until: instant_after(sent, limits.max_wait),
            counted: 0,
            instances: HashSet::new(),
            mux: Arc::clone(mux),
            end: None,
            slot: Some(slot),
        })
    }

    /// Waits for the next reply; `None` once the wait has ended, see [`end`](Self::end). Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        if self.end.is_none() && self.limits.expected.is_some_and(|n| self.counted >= n) {
            self.end = Some(MultiReplyEnd::Complete);
        }
        if let (None, Err(none)) = (&self.end, NoRuntime::check()) {
            let status = none.into_status("further replies are not waited for");
            self.end = Some(MultiReplyEnd::Failed(status));
        }
        while self.end.is_none() {
            let end = match tokio::time::timeout_at(self.until, self.arrivals.recv()).await {
                Ok(Some(Ok(message))) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                    MultiReplyEnd::NoResponders
                }
                Ok(Some(Ok(message))) => return Some(message),
                Ok(Some(Err(status))) => MultiReplyEnd::Failed(status),
                Ok(None) | Err(_) => MultiReplyEnd::Stalled,
            };
            self.end = Some(end);
        }
        None
    }

    /// Counts the last reply as one of the expected ones; the stall time starts anew. The caller decides: a
    /// malformed reply, or one of an instance that was not asked for, does not count, or it would hide an instance
    /// whose reply is still on its way.
    pub(crate) fn count(&mut self) {
        self.counted += 1;
        let last = instant_after(self.sent, self.limits.max_wait);
        self.until = last.min(instant_after(Instant::now(), self.limits.stall));
    }

    /// Returns whether the last reply is the first one of this instance. Any other is counted as a message that no
    /// call waits for, as it is for other calls, and so is one of no instance, such as the acknowledgment of a stream
    /// that captures the request: were it taken, it would hide an instance that has not replied yet.
    pub(crate) fn is_first_of(&mut self, instance: Option<&str>) -> bool {
        let is_first = self.instances.len() < MAX_INSTANCES
            && instance.is_some_and(|id| self.instances.insert(id.to_owned()));
        if !is_first {
            self.mux.count_unmatched();
        }
        is_first
    }

    /// Returns the number of replies counted.
    pub(crate) fn counted(&self) -> usize {
        self.counted
    }

    /// Returns the time since the request was sent.
    pub(crate) fn elapsed(&self) -> Duration {
        self.sent.elapsed()
    }

    /// Returns why the wait has ended; `None` while it lasts.
    pub(crate) fn end(&self) -> Option<MultiReplyEnd> {
        self.end.clone()
    }
}

impl Drop for MultiReply {
    /// Counts the replies that arrived and were not taken, as those that arrive later are.
    fn drop(&mut self) {
        self.slot = None;
        // One that is being delivered on another thread comes before this and is counted here, or behind it and is
        // counted there.
        self.arrivals.close();
        for _ in 0..MAX_DRAIN_ATTEMPTS {
            while let Ok(arrival) = self.arrivals.try_recv() {
                if arrival.is_ok() {
                    self.mux.count_unmatched();
                }
            }
            // The sender ends with the slot, unless a delivery is under way on another thread.
            if self.arrivals.sender_strong_count() == 0 {
                break;
            }
            std::thread::yield_now();
        }
    }
}

/// Returns the moment `time` after `moment`, or one 30 years away where a clock cannot represent it.
pub(crate) fn instant_after(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or(moment + FAR_FUTURE)
}
