//! `ServedMethod`: one method that is served, with its limits, options and counts.

use std::sync::Arc;
use std::time::Instant;

use crate::descriptor::MethodDescriptor;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::method_handler::MethodHandler;
use crate::dispatch::method_options::MethodOptions;
use crate::dispatch::method_stats::MethodStats;
use crate::dispatch::server_state::ServerState;
use crate::execute::ConcurrencyLimit;
use crate::execute::PollCost;
use crate::json::LazyTranscoder;
use crate::observe::MethodMetrics;
use crate::stream::StreamOptions;

/// One method of one instance that is served. It is made at the start of the server and never changes;
/// the calls that run hold it.
pub(crate) struct ServedMethod {
    pub(crate) server: Arc<ServerState>,
    pub(crate) address: Arc<InstanceAddress>,
    pub(crate) descriptor: &'static MethodDescriptor,
    pub(crate) options: MethodOptions,
    pub(crate) stream_options: StreamOptions,
    /// The handler behind the middleware of server, service and method.
    pub(crate) handler: MethodHandler,
    /// Reads and writes the JSON of callers that use it; one for all methods of the service.
    pub(crate) json: Arc<LazyTranscoder>,
    /// Calls of all methods of the service that run now.
    pub(crate) service_limit: Arc<ConcurrencyLimit>,
    /// Calls of this method that run now.
    pub(crate) method_limit: ConcurrencyLimit,
    /// Measure by which calls run in the loop that reads the subscription.
    pub(crate) cost: PollCost,
    /// Counts for the recorder of the `metrics` crate.
    pub(crate) metrics: Arc<MethodMetrics>,
    /// Counts for discovery's STATS.
    pub(crate) stats: MethodStats,
}

impl ServedMethod {
    /// Logs that a request was replied to, with the time since it was received. Without a reader of trace
    /// events the clock is not read.
    pub(super) fn trace_reply(&self, received: Instant) {
        let micros = || received.elapsed().as_micros();
        tracing::trace!(
            method = self.descriptor.full_name,
            micros = micros(),
            "replied"
        );
    }
}
