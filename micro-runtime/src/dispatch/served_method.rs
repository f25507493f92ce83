//! One method that is served, with its limits, options and counts.

use std::sync::Arc;

use crate::descriptor::MethodDescriptor;
use crate::dispatch::handler::MethodHandler;
use crate::dispatch::instance_address::InstanceAddress;
use crate::dispatch::options::MethodOptions;
use crate::dispatch::shared::ServerState;
use crate::dispatch::stats::MethodStats;
use crate::execute::ConcurrencyLimit;
use crate::execute::PollCost;
use crate::observe::MethodMetrics;
use crate::stream::StreamOptions;

/// One method that is served.
pub(crate) struct ServedMethod {
    pub(crate) shared: Arc<ServerState>,
    pub(crate) home: Arc<InstanceAddress>,
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) options: MethodOptions,
    pub(crate) stream_options: StreamOptions,
    pub(crate) handler: MethodHandler,
    pub(crate) service_in_flight: Arc<ConcurrencyLimit>,
    pub(crate) in_flight: ConcurrencyLimit,
    pub(crate) pace: PollCost,
    pub(crate) meters: Arc<MethodMetrics>,
    pub(crate) stats: MethodStats,
}
