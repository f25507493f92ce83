//! `MultiReply`: one request with many replies, and the rules for when to stop waiting for more.
//!
//! Used for calls to all instances and for discovery (docs/PROTOCOL.md, "All instances at once"). The number of
//! replies is often unknown, and a fixed wait would be too long for one instance and too short for a hundred.
//! So the wait ends as soon as the expected number has arrived, or once no reply has arrived for a stall time.

use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode};

use crate::bus::connection::Connection;
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::bus::subscription::CarrierSubscription;
use crate::error::Error;

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
/// It has an inbox of its own, since a reply slot of the [`Mux`](crate::bus::mux::Mux) takes one reply. Dropping
/// it unsubscribes.
pub(crate) struct MultiReply {
    subscription: CarrierSubscription,
    limits: ReplyLimits,
    sent: Instant,
    /// The moment at which the wait ends unless a reply arrives before.
    until: Instant,
    counted: usize,
    end: Option<MultiReplyEnd>,
}

/// Reason why the wait for replies has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MultiReplyEnd {
    /// NATS reported that the subject has no subscribers.
    NoResponders,
    /// The expected number of replies has arrived.
    Complete,
    /// No reply has arrived within the stall time, or within the maximum time.
    Stalled,
}

/// Stand-in for durations too large to add to a clock: 30 years.
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Failure to send a request with many replies.
pub(crate) enum RequestError {
    /// The inbox for the replies could not be subscribed to.
    Unsubscribed(Error),
    /// The request could not be published.
    Unsent(PublishError),
}

impl MultiReply {
    /// Subscribes to a new inbox and publishes the request with it as reply subject.
    pub(crate) async fn send(
        connection: &Connection,
        outgoing: Outgoing,
        limits: ReplyLimits,
    ) -> Result<Self, RequestError> {
        let inbox = connection.new_inbox();
        let subscription = connection.subscribe(inbox.clone(), None).await;
        let subscription = subscription.map_err(RequestError::Unsubscribed)?;
        let outgoing = Outgoing {
            reply: Some(inbox),
            ..outgoing
        };
        let sent = Instant::now();
        connection
            .publish(outgoing)
            .await
            .map_err(RequestError::Unsent)?;
        Ok(Self {
            subscription,
            limits,
            sent,
            until: instant_after(sent, limits.max_wait),
            counted: 0,
            end: None,
        })
    }

    /// Waits for the next reply; `None` once the wait has ended, see [`end`](Self::end). Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        if self.end.is_none() && self.limits.expected.is_some_and(|n| self.counted >= n) {
            self.end = Some(MultiReplyEnd::Complete);
        }
        if self.end.is_some() {
            return None;
        }
        let until = tokio::time::Instant::from_std(self.until);
        match tokio::time::timeout_at(until, self.subscription.next()).await {
            Ok(Some(message)) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                self.end = Some(MultiReplyEnd::NoResponders);
                None
            }
            Ok(Some(message)) => Some(message),
            Ok(None) | Err(_) => {
                self.end = Some(MultiReplyEnd::Stalled);
                None
            }
        }
    }

    /// Counts the last reply as one of the expected ones; the stall time starts anew. The caller decides: a
    /// malformed reply, or one of an instance that was not asked for, does not count, or it would hide an instance
    /// whose reply is still on its way.
    pub(crate) fn count(&mut self) {
        self.counted += 1;
        let last = instant_after(self.sent, self.limits.max_wait);
        self.until = last.min(instant_after(Instant::now(), self.limits.stall));
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
        self.end
    }
}

/// Returns the moment `time` after `moment`, or one 30 years away where a clock cannot represent it.
pub(crate) fn instant_after(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or(moment + FAR_FUTURE)
}
