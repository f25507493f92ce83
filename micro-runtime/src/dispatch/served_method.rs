//! `ServedMethod`: one method that is served, with its limits, options and counts.

use std::sync::Arc;

use tokio::time::Instant;

use crate::context::{Context, TimeLimit, TimeoutSource};
use crate::descriptor::{MethodDescriptor, RequestSizes};
use crate::dispatch::arrival::Arrival;
use crate::dispatch::burst_refusal::BurstRefusals;
use crate::dispatch::drop_counts::DropCounts;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::method_handler::MethodHandler;
use crate::dispatch::method_logs::MethodLogs;
use crate::dispatch::method_options::MethodOptions;
use crate::dispatch::method_stats::MethodStats;
use crate::dispatch::server_state::ServerState;
use crate::execute::ConcurrencyLimit;
use crate::execute::PollCost;
use crate::json::LazyTranscoder;
use crate::observe::MethodMetrics;
use crate::status::Status;
use crate::stream::{StreamLabel, StreamOptions};

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
    /// Sizes of the requests once they are decoded.
    pub(crate) request_sizes: Arc<RequestSizes>,
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
    /// Requests that were dropped and replies that were not sent.
    pub(crate) drops: DropCounts,
    pub(crate) logs: MethodLogs,
    pub(crate) burst_refusals: BurstRefusals,
}

impl ServedMethod {
    /// Returns what the deadline of a call, whose request arrived at `since`, follows from; `None` without one.
    pub(super) fn time_limit(&self, ctx: &Context, since: Instant) -> Option<TimeLimit> {
        let deadline = ctx.deadline()?;
        let timeout = deadline.saturating_duration_since(since);
        let is_callers = ctx.has_caller_timeout() && timeout != self.server.timeouts.max;
        Some(TimeLimit {
            deadline,
            timeout,
            source: match is_callers {
                true => TimeoutSource::Caller,
                false => TimeoutSource::Server,
            },
        })
    }

    /// Checks the length of a request, or the announced one of a request in parts before it is sent.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`, with the option that raises the limit.
    pub(super) fn check_request_len(&self, length: u64) -> Result<(), Status> {
        let max = self.stream_options.message_limit();
        StreamLabel::check_len(self.descriptor, false, length, max)
    }

    /// Logs that a request was replied to, with the time since its turn came, and the time that it had waited for its
    /// turn here. Without a reader of trace events the clock is not read.
    pub(super) fn trace_reply(&self, arrival: Arrival) {
        let micros = || arrival.begun.elapsed().as_micros();
        tracing::trace!(
            method = self.descriptor.full_name,
            micros = micros(),
            waited_micros = arrival.waited_here().as_micros(),
            "replied"
        );
    }
}
