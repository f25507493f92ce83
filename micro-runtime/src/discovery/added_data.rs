//! Statistics that this library adds to those of ADR-32, in `data` of STATS.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::discovery::nanoseconds;

/// Statistics of an instance that this library adds to those of ADR-32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceData {
    /// Time since its start, which a reset does not change.
    #[serde(rename = "uptime_ns", with = "nanoseconds")]
    pub uptime: Duration,
    /// Whether it works: every liveness check passed in its last run.
    pub is_live: bool,
    /// Whether it takes calls: it is not stopping, no connection of its bus to NATS is lost, and every check passed in
    /// its last run.
    pub is_ready: bool,
    /// Outcomes of the checks that were added to the server.
    #[serde(default)]
    pub checks: Vec<CheckOutcome>,
    /// Replies since its start that NATS did not let it publish: its user lacks a permission. Its callers have
    /// waited in vain. The number is that of the connection, which instances may share.
    #[serde(default)]
    pub refused_replies: u64,
    /// Bytes that its server holds for callers now, of its memory budget.
    #[serde(default)]
    pub held_bytes: u64,
    /// Times since the start of its server that something was refused since the memory budget was used up, or the share
    /// of its caller.
    #[serde(default)]
    pub refused_holds: u64,
    /// Requests of no method, such as queries, that were dropped since its start: their reply subject is outside the
    /// allowed prefixes, or NATS has made them itself.
    #[serde(default)]
    pub dropped: u64,
    /// Replies to requests of no method that were not sent since its start.
    #[serde(default)]
    pub unsent_replies: u64,
    /// Connections of its bus to NATS that were established again, as all counts from here on since the bus was made.
    /// Instances on one bus share them.
    #[serde(default)]
    pub reconnects: u64,
    /// Messages and subscriptions that NATS does not allow, the next ones among them.
    #[serde(default)]
    pub refused: u64,
    /// Events that NATS does not allow, and that nothing waited for.
    #[serde(default)]
    pub refused_events: u64,
    /// Messages that arrived in an inbox and that no call waited for.
    #[serde(default)]
    pub unmatched_replies: u64,
    /// Replies to calls of all instances, or to queries, that were dropped since too many waited to be read.
    #[serde(default)]
    pub dropped_replies: u64,
    /// Messages that subscriptions lost since too many waited to be read.
    #[serde(default)]
    pub lost_messages: u64,
    /// Cancellations that were not sent since too many waited: the handlers of these calls ran to their end.
    #[serde(default)]
    pub dropped_cancels: u64,
    /// Cancellations that NATS does not allow.
    #[serde(default)]
    pub refused_cancels: u64,
    /// Losses of its connections that repeat, each behind something received and while NATS is there: a peer probably
    /// sends messages whose headers cannot be parsed.
    #[serde(default)]
    pub cut_connections: u64,
    /// Subscriptions to events of its server, in the order in which they were added. Instances of one server share
    /// them.
    #[serde(default)]
    pub events: Vec<EventData>,
}

/// Counts of one subscription to events of a server, since its start. They mean the same as those of
/// [`RunningServer::events`](crate::RunningServer::events).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EventData {
    /// Full name of the event's message.
    pub event: String,
    /// Subject or pattern that is subscribed to.
    pub subject: String,
    /// Queue group, or name of the durable consumer; empty for a broadcast.
    pub group: String,
    /// Events that arrived.
    pub received: u64,
    /// Events whose handler returned `Ok`.
    pub handled: u64,
    /// Events whose handler returned an error or exceeded its timeout.
    pub failed: u64,
    /// Events whose handler panicked.
    pub panicked: u64,
    /// Messages that are no such event.
    pub undecodable: u64,
    /// Headers that are no metadata and were left out.
    pub malformed_headers: u64,
    /// Events that were dropped before or without an outcome.
    pub dropped: u64,
    /// Messages of a durable consumer that NATS does not allow.
    pub refused: u64,
    /// Durable events that were given up.
    pub given_up: u64,
}

/// Outcome of the last run of a health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckOutcome {
    /// Name of the check.
    pub name: String,
    /// Whether it is a liveness check; a readiness check only decides whether the instance takes calls.
    pub is_liveness: bool,
    /// Error of the check; empty if it passed.
    pub error: String,
}

/// Statistics of an endpoint that this library adds to those of ADR-32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointData {
    /// Number of calls that run now.
    pub in_flight: u64,
    /// Number of requests that a limit rejected; they are among the failures.
    pub shed: u64,
    /// Number of requests that were dropped without a reply, and are not counted otherwise: their reply subject is
    /// outside the allowed prefixes, or NATS has made them itself.
    #[serde(default)]
    pub dropped: u64,
    /// Number of replies that were not sent: the connection did not take them, or they did not fit into one message and
    /// a failure was sent in their place.
    #[serde(default)]
    pub unsent_replies: u64,
    /// Median of the times, to within an eighth.
    #[serde(rename = "p50_ns", with = "nanoseconds")]
    pub p50: Duration,
    /// 99th percentile of the times, to within an eighth.
    #[serde(rename = "p99_ns", with = "nanoseconds")]
    pub p99: Duration,
}
