//! One method that is served, with its limits, options and counts.

use std::sync::Arc;

use crate::descriptor::MethodDescriptor;
use crate::dispatch::handler::Handling;
use crate::dispatch::instance_address::Home;
use crate::dispatch::options::MethodOptions;
use crate::dispatch::shared::Shared;
use crate::dispatch::stats::MethodStats;
use crate::execute::Gate;
use crate::execute::Pace;
use crate::observe::Meters;
use crate::stream::StreamOptions;

/// One method that is served.
pub(crate) struct ServedMethod {
    pub(crate) shared: Arc<Shared>,
    pub(crate) home: Arc<Home>,
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) options: MethodOptions,
    pub(crate) stream_options: StreamOptions,
    pub(crate) handler: Handling,
    pub(crate) service_in_flight: Arc<Gate>,
    pub(crate) in_flight: Gate,
    pub(crate) pace: Pace,
    pub(crate) meters: Arc<Meters>,
    pub(crate) stats: MethodStats,
}
