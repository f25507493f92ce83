//! `DropCounts`: requests that were dropped and replies that were not sent, of one method or of one service besides its
//! methods.

use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::{Message, Subject};

use crate::log_limit::LogLimit;
use crate::observe;
use crate::printable::Printable;
use crate::status::Status;
use crate::wire::BrokerMessage;

/// What a method, or a service besides its methods, took and did not reply to: counts, metrics and logs.
pub(crate) struct DropCounts {
    /// Full name of the method or of the service.
    name: &'static str,
    dropped: AtomicU64,
    unsent_replies: AtomicU64,
    of_nats_log: LogLimit,
    /// Of reply subjects that are not allowed, which any peer can send.
    foreign_reply_log: LogLimit,
    unsent_reply_log: LogLimit,
    oversized_reply_log: LogLimit,
}

impl DropCounts {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            dropped: AtomicU64::new(0),
            unsent_replies: AtomicU64::new(0),
            of_nats_log: LogLimit::default(),
            foreign_reply_log: LogLimit::default(),
            unsent_reply_log: LogLimit::default(),
            oversized_reply_log: LogLimit::default(),
        }
    }

    /// Returns the number of requests that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns the number of replies that were not sent.
    pub(super) fn unsent_replies(&self) -> u64 {
        self.unsent_replies.load(Ordering::Relaxed)
    }

    pub(super) fn reset(&self) {
        self.dropped.store(0, Ordering::Relaxed);
        self.unsent_replies.store(0, Ordering::Relaxed);
    }

    /// Returns whether NATS itself has made this message, which then is no request, and gets no reply
    /// (docs/PROTOCOL.md, CALL-13). It is counted and logged.
    pub(super) fn is_of_nats(&self, message: &Message) -> bool {
        let Some(made) = BrokerMessage::of(message) else {
            return false;
        };
        self.count_dropped();
        let (method, made) = (self.name, made.to_string());
        self.of_nats_log.write(move |count| {
            tracing::warn!(
                method,
                message = made,
                count,
                "dropped a message of NATS itself, which is no request: the subject is the reply subject of another \
                 request, or the delivery subject of a consumer"
            );
        });
        true
    }

    /// Counts and logs a request whose reply subject is not allowed.
    #[cold]
    pub(super) fn foreign_reply(&self, reply: &Subject) {
        self.count_dropped();
        let (method, reply) = (self.name, reply.clone());
        self.foreign_reply_log.write(move |count| {
            tracing::warn!(
                method,
                reply = %Printable(reply),
                count,
                "dropped a request or a frame: its reply subject is outside the allowed prefixes"
            );
        });
    }

    /// Counts and logs a reply that the connection did not take: its caller has heard that the connection is lost, or
    /// will hear nothing.
    #[cold]
    pub(super) fn unsent_reply(&self, status: Status) {
        self.count_unsent();
        let method = self.name;
        self.unsent_reply_log.write(move |count| {
            tracing::warn!(method, %status, count, "a reply was not sent");
        });
    }

    /// Counts and logs a reply in whose place `status` is sent, since it does not fit into one message.
    #[cold]
    pub(super) fn oversized_reply(&self, status: &Status) {
        self.count_unsent();
        let (method, status) = (self.name, status.clone());
        self.oversized_reply_log.write(move |count| {
            tracing::warn!(method, %status, count, "a reply does not fit into one NATS message");
        });
    }

    /// Counts a reply in whose place a failure is sent, since no memory is left for it; the budget logs that.
    #[cold]
    pub(super) fn reply_without_memory(&self) {
        self.count_unsent();
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        observe::dropped(self.name);
    }

    fn count_unsent(&self) {
        self.unsent_replies.fetch_add(1, Ordering::Relaxed);
        observe::reply_unsent(self.name);
    }
}
