//! `MultiReply`: one question, many answers, and when to stop waiting for more: as soon as all are here,
//! or once none has come for a while. Never a fixed wait.

use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode};

use crate::bus::connection::Connection;
use crate::bus::outgoing::{Outgoing, PublishError};
use crate::bus::subscription::CarrierSubscription;
use crate::error::Error;

/// How long answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyLimits {
    /// Enough answers, if it is known how many there can be.
    pub(crate) expected: Option<usize>,
    /// How long after an answer the next one may come.
    pub(crate) stall: Duration,
    /// How long all of it may take, and so how long the first answer may.
    pub(crate) max_wait: Duration,
}

/// Answers that are on their way.
pub(crate) struct MultiReply {
    subscription: CarrierSubscription,
    limits: ReplyLimits,
    sent: Instant,
    until: Instant,
    counted: usize,
    end: Option<MultiReplyEnd>,
}

/// Why no more answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MultiReplyEnd {
    /// NATS says that nobody is there.
    NoResponders,
    /// All that were expected have come.
    Complete,
    /// None has come for too long.
    Stalled,
}

/// A wait that nobody will see the end of, for times too large to add to a clock.
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Why a question could not be asked.
pub(crate) enum RequestError {
    Unsubscribed(Error),
    Unsent(PublishError),
}

impl MultiReply {
    /// Asks. The reply subject is set here.
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

    /// The next answer; `None` once no more are waited for. May be dropped while it waits.
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
            Ok(Some(message)) => {
                let last = instant_after(self.sent, self.limits.max_wait);
                self.until = last.min(instant_after(Instant::now(), self.limits.stall));
                Some(message)
            }
            Ok(None) | Err(_) => {
                self.end = Some(MultiReplyEnd::Stalled);
                None
            }
        }
    }

    /// Counts an answer that was one of those expected.
    pub(crate) fn count(&mut self) {
        self.counted += 1;
    }

    /// How many were counted.
    pub(crate) fn counted(&self) -> usize {
        self.counted
    }

    /// How long ago the question was asked.
    pub(crate) fn elapsed(&self) -> Duration {
        self.sent.elapsed()
    }

    pub(crate) fn end(&self) -> Option<MultiReplyEnd> {
        self.end
    }
}

/// The moment so long after another.
pub(crate) fn instant_after(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or(moment + FAR_FUTURE)
}
