//! Metrics of calls and events through the `metrics` crate, for the recorder that the program installs.
//!
//! `docs/guide/operations.md` lists them, with the fields of STATS that show the same: `replies.unsent` is
//! `unsent_replies` there.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use crate::descriptor::MethodDescriptor;
use crate::observe::side::Side;
use crate::status::Code;

/// Handles of the metrics of one method on one side.
///
/// They are made when a server starts or a client is made, so that a call allocates nothing for them. A recorder that
/// is installed later does not see them.
pub(crate) struct MethodMetrics {
    side: Side,
    method: &'static str,
    requests: Counter,
    duration: Histogram,
    in_flight: Gauge,
    shed: Counter,
    retries: Counter,
}

/// Metrics of one call: it counts as in flight until its end, which records code and duration.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    method: Arc<MethodMetrics>,
    started: Instant,
    has_ended: bool,
}

/// Handles of the metrics of one subscription of a server, made as those of a method are.
#[derive(Clone)]
pub(crate) struct EventMetrics {
    pub(crate) received: Counter,
    pub(crate) handled: Counter,
    pub(crate) failed: Counter,
    pub(crate) panicked: Counter,
    pub(crate) undecodable: Counter,
    pub(crate) malformed_headers: Counter,
    pub(crate) dropped: Counter,
    #[cfg(feature = "jetstream")]
    pub(crate) refused: Counter,
    #[cfg(feature = "jetstream")]
    pub(crate) given_up: Counter,
}

/// Handles of the metrics of a server's memory budget, made as those of a method are.
#[derive(Clone)]
pub(crate) struct MemoryMetrics {
    held: Gauge,
    refused: Counter,
}

impl MemoryMetrics {
    pub(crate) fn new() -> Self {
        Self {
            held: gauge!("rpc.server.bytes.held"),
            refused: counter!("rpc.server.holds.refused"),
        }
    }

    /// Counts bytes that are held from now on.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held.increment(bytes as f64);
    }

    /// Counts bytes that are held no longer.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.decrement(bytes as f64);
    }

    /// Counts that something found no room.
    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }
}

impl EventMetrics {
    /// Returns those of an event; `name` is the full name of its message.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            received: counter!("event.received", "event" => name),
            handled: counter!("event.handled", "event" => name),
            failed: counter!("event.failed", "event" => name),
            panicked: counter!("event.panicked", "event" => name),
            undecodable: counter!("event.undecodable", "event" => name),
            malformed_headers: counter!("event.headers.malformed", "event" => name),
            dropped: counter!("event.dropped", "event" => name),
            #[cfg(feature = "jetstream")]
            refused: counter!("event.refused", "event" => name),
            #[cfg(feature = "jetstream")]
            given_up: counter!("event.given_up", "event" => name),
        }
    }
}

impl MethodMetrics {
    pub(crate) fn new(side: Side, method: &'static MethodDescriptor) -> Self {
        let method = method.full_name;
        match side {
            Side::Client => Self {
                side,
                method,
                requests: counter!("rpc.client.requests", "method" => method),
                duration: histogram!("rpc.client.duration", "method" => method),
                in_flight: gauge!("rpc.client.in_flight", "method" => method),
                shed: Counter::noop(),
                retries: counter!("rpc.client.retries", "method" => method),
            },
            Side::Server => Self {
                side,
                method,
                requests: counter!("rpc.server.requests", "method" => method),
                duration: histogram!("rpc.server.duration", "method" => method),
                in_flight: gauge!("rpc.server.in_flight", "method" => method),
                shed: counter!("rpc.server.shed", "method" => method),
                retries: Counter::noop(),
            },
        }
    }

    /// Counts a request that was rejected because a limit is reached.
    pub(crate) fn shed(&self) {
        self.shed.increment(1);
    }

    /// Counts a request that gets no handler, with the code that it is refused with.
    pub(crate) fn refused(&self, code: Code) {
        self.requests.increment(1);
        self.failed(code);
    }

    /// Counts a failure. Its label is the code, so it cannot be a handle: there would be 16 for each method.
    fn failed(&self, code: Code) {
        let errors = match self.side {
            Side::Client => "rpc.client.errors",
            Side::Server => "rpc.server.errors",
        };
        counter!(errors, "method" => self.method, "code" => code.name()).increment(1);
    }
}

impl CallMetrics {
    /// Counts a call that began at `started`, or now if that is `None`.
    pub(crate) fn begin(method: &Arc<MethodMetrics>, started: Option<Instant>) -> Self {
        method.requests.increment(1);
        method.in_flight.increment(1);
        Self {
            method: Arc::clone(method),
            started: started.unwrap_or_else(Instant::now),
            has_ended: false,
        }
    }

    /// Counts a request that is sent again.
    pub(crate) fn retried(&self) {
        self.method.retries.increment(1);
    }

    /// Records the end of the call; `failure` is the code of its failure, if it failed. Only the first end counts.
    pub(crate) fn end(&mut self, failure: Option<Code>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.method.in_flight.decrement(1);
        self.method.duration.record(self.started.elapsed());
        if let Some(code) = failure {
            self.method.failed(code);
        }
    }
}

/// A call that is dropped before its end was canceled.
impl Drop for CallMetrics {
    fn drop(&mut self) {
        self.end(Some(Code::Canceled));
    }
}

/// Counts a request that was dropped because its reply subject is not allowed, or NATS has made it itself.
pub(crate) fn dropped(name: &'static str) {
    counter!("rpc.server.dropped", "name" => name).increment(1);
}

/// Counts an event that was handed to the connection.
pub(crate) fn published(name: &'static str) {
    counter!("event.published", "event" => name).increment(1);
}

/// Counts an event that could not be decoded, or whose handler failed.
pub(crate) fn event_failed(name: &'static str, code: Code) {
    counter!("event.errors", "event" => name, "code" => code.name()).increment(1);
}

/// Counts a reply that the connection did not take, or that did not fit into one message.
pub(crate) fn reply_unsent(name: &'static str) {
    counter!("rpc.server.replies.unsent", "name" => name).increment(1);
}

/// Counts a reply that NATS did not let this process publish.
pub(crate) fn reply_refused() {
    counter!("rpc.server.replies.refused").increment(1);
}

/// Counts a message in the inbox that no call waited for.
pub(crate) fn reply_unmatched() {
    counter!("rpc.client.replies.unmatched").increment(1);
}

/// Counts a reply to a request with many replies for which there was no room.
pub(crate) fn reply_dropped() {
    counter!("rpc.client.replies.dropped").increment(1);
}

/// Counts a cancellation for which there was no room.
pub(crate) fn cancel_dropped() {
    counter!("rpc.client.cancels.dropped").increment(1);
}

/// Counts a cancellation that NATS does not allow.
pub(crate) fn cancel_refused() {
    counter!("rpc.client.cancels.refused").increment(1);
}

/// Counts a message or a subscription that NATS does not allow.
pub(crate) fn refused(operation: &'static str) {
    counter!("nats.client.refused", "operation" => operation).increment(1);
}

/// Counts an event of core NATS that NATS does not allow.
pub(crate) fn event_refused_by_nats() {
    counter!("nats.client.events.refused").increment(1);
}

/// Counts a message that a subscription lost, since too many waited to be read.
pub(crate) fn message_lost() {
    counter!("nats.client.messages.lost").increment(1);
}

/// Counts losses of a connection at messages that async-nats cannot parse.
pub(crate) fn connection_cut(losses: u64) {
    counter!("nats.client.connections.cut").increment(losses);
}

/// Counts a connection to NATS that was established again.
pub(crate) fn reconnected() {
    counter!("nats.client.reconnects").increment(1);
}

impl std::fmt::Debug for MethodMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MethodMetrics")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MemoryMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryMetrics").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EventMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventMetrics").finish_non_exhaustive()
    }
}
