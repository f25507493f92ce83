//! `LinkLogs`: the log lines of a connection that is lost, comes back, or reports what it cannot do.
//!
//! A peer can cause each: one message that async-nats cannot parse ends a link, and the next one ends the next link.

use async_nats::Event;

use crate::bus::server_urls::ServerUrls;
use crate::error::Error;
use crate::log_limit::LogLimit;
use crate::printable::Printable;

/// Logs of one connection, whose links follow each other.
#[derive(Default)]
pub(in crate::bus) struct LinkLogs {
    /// Of links that ended, whatever ended them.
    lost: LogLimit,
    /// Of links that took over from a lost one.
    back: LogLimit,
    /// Of events that async-nats reports beside refusals and losses.
    events: LogLimit,
    /// Of servers that are too old, to which the connection has come back.
    old_servers: LogLimit,
    /// Of links that were ended since nothing arrived.
    silences: LogLimit,
}

impl LinkLogs {
    /// Logs that the link is lost; `role` names the connection.
    pub(super) fn lost(&self, servers: &ServerUrls, role: Option<&'static str>) {
        let servers = servers.clone();
        tracing::debug!(connection = role, "a link is lost");
        self.lost.write(move |count| {
            tracing::warn!(%servers, connection = role, count, "the connection to NATS is lost");
        });
    }

    /// Logs that there is another link; `role` names the connection.
    pub(super) fn back(&self, role: Option<&'static str>) {
        self.back.write(move |count| {
            tracing::info!(connection = role, count, "the connection to NATS is back");
        });
    }

    /// Logs an event of async-nats that nothing handles.
    pub(super) fn event(&self, event: &Event) {
        let event = event.to_string();
        self.events
            .write(move |count| tracing::warn!(count, "NATS: {}", Printable(event)));
    }

    /// Logs that a nats-server to which the connection has come back is too old.
    pub(super) fn old_server(&self, error: &Error) {
        let error = error.to_string();
        self.old_servers.write(move |count| {
            tracing::warn!(count, "back at an old server: {}", Printable(error));
        });
    }

    /// Logs that a link is lost since NATS sends nothing.
    pub(super) fn silent(&self, unconfirmed_bytes: u64) {
        self.silences.write(move |count| {
            tracing::warn!(unconfirmed_bytes, count, "NATS sends nothing any more");
        });
    }
}
