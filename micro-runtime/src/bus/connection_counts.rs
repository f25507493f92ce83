//! `ConnectionCounts`: what goes wrong on one connection, each kind with its count, its metric and its log.

use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::Subject;

use crate::log_limit::LogLimit;
use crate::observe;
use crate::printable::Printable;

/// Counts of one connection since it was made, and the logs of what its peers or its load cause.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts {
    refused: AtomicU64,
    unmatched_replies: AtomicU64,
    dropped_replies: AtomicU64,
    lost_messages: AtomicU64,
    dropped_cancels: AtomicU64,
    refused_cancels: AtomicU64,
    /// Losses that repeat, at messages that async-nats probably cannot parse.
    cut: AtomicU64,
    /// Losses behind which a search for a malformed stored event may find one.
    suspected_cuts: AtomicU64,
    cut_log: LogLimit,
    dropped_replies_log: LogLimit,
    lost_messages_log: LogLimit,
    dropped_cancels_log: LogLimit,
    refused_cancels_log: LogLimit,
    /// Of durable publishes that are sent again.
    #[cfg(feature = "jetstream")]
    pub(crate) unstored_events_log: LogLimit,
    /// Number of consumers and replays that request stored events at present.
    #[cfg(feature = "jetstream")]
    pull_consumers: std::sync::atomic::AtomicUsize,
}

/// Counts of all connections of a bus, as STATS shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionTotals {
    pub(crate) reconnects: u64,
    pub(crate) refused: u64,
    pub(crate) refused_events: u64,
    pub(crate) unmatched_replies: u64,
    pub(crate) dropped_replies: u64,
    pub(crate) lost_messages: u64,
    pub(crate) dropped_cancels: u64,
    pub(crate) refused_cancels: u64,
    pub(crate) cut: u64,
}

impl ConnectionCounts {
    /// Adds the counts, but for those of reconnects and of refused events, which others keep.
    pub(super) fn add_to(&self, totals: &mut ConnectionTotals) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        totals.refused += load(&self.refused);
        totals.unmatched_replies += load(&self.unmatched_replies);
        totals.dropped_replies += load(&self.dropped_replies);
        totals.lost_messages += load(&self.lost_messages);
        totals.dropped_cancels += load(&self.dropped_cancels);
        totals.refused_cancels += load(&self.refused_cancels);
        totals.cut += load(&self.cut);
    }

    /// Returns the number of losses that a message may have caused which async-nats cannot parse.
    #[cfg(feature = "jetstream")]
    pub(crate) fn suspected_cuts(&self) -> u64 {
        self.suspected_cuts.load(Ordering::Relaxed)
    }

    /// Counts a consumer that requests stored events, until [`remove_pull_consumer`](Self::remove_pull_consumer).
    #[cfg(feature = "jetstream")]
    pub(crate) fn add_pull_consumer(&self) {
        self.pull_consumers.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that requests none any more.
    #[cfg(feature = "jetstream")]
    pub(crate) fn remove_pull_consumer(&self) {
        self.pull_consumers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of consumers that request stored events.
    #[cfg(feature = "jetstream")]
    pub(crate) fn pull_consumers(&self) -> usize {
        self.pull_consumers.load(Ordering::Relaxed)
    }

    /// Notes a loss that a message may have caused which async-nats cannot parse; `losses` count as cuts by it. `role`
    /// names the connection.
    pub(super) fn suspect_cut(&self, losses: u64, role: Option<&'static str>) {
        self.suspected_cuts.fetch_add(1, Ordering::Relaxed);
        if losses == 0 {
            return;
        }
        self.cut.fetch_add(losses, Ordering::Relaxed);
        observe::connection_cut(losses);
        self.cut_log.write_many(losses, move |count| {
            tracing::warn!(
                connection = role,
                count,
                "the connection is cut off again and again while NATS is there: a peer probably sends messages whose \
                 headers async-nats cannot parse; see SECURITY.md"
            );
        });
    }

    /// Counts a message or a subscription that NATS does not allow.
    pub(super) fn refused(&self, operation: &'static str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        observe::refused(operation);
    }

    /// Returns the number of messages that arrived in the inbox and that no call waited for.
    pub(super) fn unmatched_replies(&self) -> u64 {
        self.unmatched_replies.load(Ordering::Relaxed)
    }

    /// Counts a message that arrived in an inbox and that no call waits for.
    #[cold]
    pub(super) fn unmatched_reply(&self) {
        let count = self.unmatched_replies.fetch_add(1, Ordering::Relaxed) + 1;
        observe::reply_unmatched();
        tracing::debug!(
            count,
            "no call waits for a message in the inbox: it is late, a second reply or forged"
        );
    }

    /// Counts a reply to a request with many replies for which there is no room.
    #[cold]
    pub(super) fn dropped_reply(&self, limit: usize) {
        self.dropped_replies.fetch_add(1, Ordering::Relaxed);
        observe::reply_dropped();
        self.dropped_replies_log.write(move |count| {
            tracing::warn!(
                limit,
                count,
                "a reply to a request with many replies is dropped: too many wait"
            );
        });
    }

    /// Counts a message that a subscription of NATS lost, since too many waited to be read.
    #[cold]
    pub(super) fn lost_message_of(&self, subscription: u64) {
        self.lost_message();
        self.lost_messages_log.write(move |count| {
            tracing::warn!(subscription, count, "a slow consumer lost a message");
        });
    }

    /// Counts a message that a subscription inside this process lost.
    #[cold]
    pub(super) fn lost_message_on(&self, subject: Subject) {
        self.lost_message();
        self.lost_messages_log.write(move |count| {
            let subject = Printable(&subject);
            tracing::warn!(%subject, count, "a subscription that is full or closed lost a message");
        });
    }

    fn lost_message(&self) {
        self.lost_messages.fetch_add(1, Ordering::Relaxed);
        observe::message_lost();
    }

    /// Counts a cancellation for which there is no room.
    #[cold]
    pub(super) fn dropped_cancel(&self) {
        self.dropped_cancels.fetch_add(1, Ordering::Relaxed);
        observe::cancel_dropped();
        self.dropped_cancels_log.write(|count| {
            tracing::warn!(
                count,
                "too many calls were dropped at once: handlers run to their end"
            );
        });
    }

    /// Counts a cancellation that NATS refuses. `is_new` if it is the first to this subject on the present link: the
    /// others are not logged.
    pub(super) fn refused_cancel(&self, subject: &str, is_new: bool) {
        self.refused_cancels.fetch_add(1, Ordering::Relaxed);
        observe::cancel_refused();
        if !is_new {
            return;
        }
        let subject = subject.to_owned();
        self.refused_cancels_log.write(move |count| {
            tracing::warn!(
                count,
                "NATS does not let this user publish to `{}`, so that calls which are dropped run to their end",
                Printable(subject)
            );
        });
    }
}
