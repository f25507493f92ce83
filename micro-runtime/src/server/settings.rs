//! `ServerSettings`: the settings of a server, with their defaults.

use std::time::Duration;

use crate::dispatch::{HealthChecks, Timeouts};
use crate::middleware::Layers;
use crate::stream::StreamOptions;
use crate::wire::subject::{REPLY_PREFIXES, SERVICE_API};

/// Maximum number of calls that run at a time, streams among them. It bounds memory and not the use of
/// processors: most of so many calls wait for something.
const MAX_CONCURRENT_CALLS: usize = 16 * 1024;
/// Maximum number of streams among them. A stream holds buffers of both directions as long as it lives.
const MAX_STREAMS: usize = 4 * 1024;
/// Maximum number of bytes that are held for callers.
const MEMORY_BUDGET: usize = 256 * 1024 * 1024;
/// Time that running calls have to end once the server stops: five times the default timeout of a call, and 5 s less
/// than Kubernetes gives a container by default (30 s from SIGTERM to SIGKILL), in which the last replies leave.
const GRACE_PERIOD: Duration = Duration::from_secs(25);

/// Settings of a server. The methods of [`Server`](crate::Server) document them.
pub(super) struct ServerSettings {
    pub(super) max_concurrent: usize,
    pub(super) max_streams: usize,
    pub(super) memory_budget: usize,
    pub(super) stream_options: StreamOptions,
    pub(super) grace_period: Duration,
    pub(super) reply_prefixes: Vec<String>,
    pub(super) timeouts: Timeouts,
    pub(super) layers: Layers,
    pub(super) queue_group: Option<String>,
    pub(super) srv_prefix: String,
    pub(super) checks: HealthChecks,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_concurrent: MAX_CONCURRENT_CALLS,
            max_streams: MAX_STREAMS,
            memory_budget: MEMORY_BUDGET,
            stream_options: StreamOptions::new(),
            grace_period: GRACE_PERIOD,
            reply_prefixes: REPLY_PREFIXES.map(str::to_owned).into(),
            timeouts: Timeouts::default(),
            layers: Layers::default(),
            queue_group: None,
            srv_prefix: SERVICE_API.to_owned(),
            checks: HealthChecks::default(),
        }
    }
}
