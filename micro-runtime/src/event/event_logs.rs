//! `EventLogs`: the log lines of one subscription's events, which publishers and handlers cause at any rate.

use crate::log_limit::LogLimit;
use crate::status::{Reason, Status};

/// Logs of the events of one subscription.
#[derive(Debug, Default)]
pub(super) struct EventLogs {
    panics: LogLimit,
    destructor_panics: LogLimit,
    unreadable: LogLimit,
    failures: LogLimit,
    of_nats: LogLimit,
    dropped: LogLimit,
}

impl EventLogs {
    /// Logs a failure of `event`, under what its reason states.
    pub(super) fn failed(&self, event: &'static str, status: &Status) {
        let status = status.clone();
        match status.reason() {
            Some(Reason::Panicked) => self.panics.write(move |count| {
                let status = status.with_sources();
                tracing::error!(event, %status, count, "the handler of an event panicked");
            }),
            reason if is_unreadable(reason) => self.unreadable.write(move |count| {
                let status = status.with_sources();
                tracing::warn!(event, %status, count, "an event cannot be read");
            }),
            _ => self.failures.write(move |count| {
                let status = status.with_sources();
                tracing::warn!(event, %status, count, "the handler of an event failed");
            }),
        }
    }

    /// Logs a destructor of a handler that panicked with `text`.
    pub(super) fn destructor_panicked(&self, event: &'static str, text: &str) {
        let panic = text.to_owned();
        self.destructor_panics.write(move |count| {
            tracing::error!(
                handler = event,
                panic,
                count,
                "a destructor of a handler panicked"
            );
        });
    }

    /// Logs a message of NATS itself, as a status; heartbeats of a consumer come for ever.
    pub(super) fn of_nats(&self, event: &'static str, status: &Status) {
        let status = status.clone();
        self.of_nats.write(move |count| {
            tracing::warn!(event, count, %status, "dropped a message that is no event");
        });
    }

    /// Logs an event that was dropped.
    pub(super) fn dropped(&self, event: &'static str, cause: &'static str) {
        self.dropped.write(move |count| {
            tracing::warn!(event, count, "dropped an event: {cause}");
        });
    }
}

/// Returns whether a message that failed so is no event.
pub(super) fn is_unreadable(reason: Option<Reason>) -> bool {
    matches!(
        reason,
        Some(Reason::Undecodable | Reason::BadHeader | Reason::ContentType)
    )
}
