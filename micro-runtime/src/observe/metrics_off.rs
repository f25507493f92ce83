//! Stands in for `metrics.rs` without the feature `metrics`: nothing is counted and no clock is read.

use tokio::time::Instant;

use crate::descriptor::MethodDescriptor;
use crate::observe::side::Side;
use crate::status::Code;

/// Stand-in for the metrics of one method.
#[derive(Debug)]
pub(crate) struct MethodMetrics;

/// Stand-in for the metrics of one call.
#[derive(Debug)]
pub(crate) struct CallMetrics;

/// Stand-in for one count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UncountedMetric;

/// Stand-in for the metrics of one subscription of a server.
#[derive(Clone, Debug)]
pub(crate) struct EventMetrics {
    pub(crate) received: UncountedMetric,
    pub(crate) handled: UncountedMetric,
    pub(crate) failed: UncountedMetric,
    pub(crate) panicked: UncountedMetric,
    pub(crate) undecodable: UncountedMetric,
    pub(crate) malformed_headers: UncountedMetric,
    pub(crate) dropped: UncountedMetric,
    #[cfg(feature = "jetstream")]
    pub(crate) refused: UncountedMetric,
    #[cfg(feature = "jetstream")]
    pub(crate) given_up: UncountedMetric,
}

/// Stand-in for the metrics of a memory budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryMetrics;

#[expect(clippy::unused_self, reason = "the functions of the same names count")]
impl MemoryMetrics {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn hold(&self, _: usize) {}

    pub(crate) fn give_back(&self, _: usize) {}

    pub(crate) fn refused(&self) {}
}

impl UncountedMetric {
    #[expect(clippy::unused_self, reason = "the function of the same name counts")]
    pub(crate) fn increment(&self, _: u64) {}
}

impl EventMetrics {
    pub(crate) fn new(_: &'static str) -> Self {
        Self {
            received: UncountedMetric,
            handled: UncountedMetric,
            failed: UncountedMetric,
            panicked: UncountedMetric,
            undecodable: UncountedMetric,
            malformed_headers: UncountedMetric,
            dropped: UncountedMetric,
            #[cfg(feature = "jetstream")]
            refused: UncountedMetric,
            #[cfg(feature = "jetstream")]
            given_up: UncountedMetric,
        }
    }
}

impl MethodMetrics {
    pub(crate) fn new(_: Side, _: &'static MethodDescriptor) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the function of the same name counts")]
    pub(crate) fn shed(&self) {}

    #[expect(clippy::unused_self, reason = "the function of the same name counts")]
    pub(crate) fn refused(&self, _: Code) {}
}

impl CallMetrics {
    pub(crate) fn begin(_: &std::sync::Arc<MethodMetrics>, _: Option<Instant>) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the function of the same name counts")]
    pub(crate) fn retried(&self) {}

    #[expect(clippy::unused_self, reason = "the function of the same name counts")]
    pub(crate) fn end(&mut self, _: Option<Code>) {}
}

pub(crate) fn dropped(_: &'static str) {}

pub(crate) fn published(_: &'static str) {}

pub(crate) fn event_failed(_: &'static str, _: Code) {}

pub(crate) fn reply_unsent(_: &'static str) {}

pub(crate) fn reply_refused() {}

pub(crate) fn reply_unmatched() {}

pub(crate) fn reply_dropped() {}

pub(crate) fn cancel_dropped() {}

pub(crate) fn cancel_refused() {}

pub(crate) fn refused(_: &'static str) {}

pub(crate) fn event_refused_by_nats() {}

pub(crate) fn message_lost() {}

pub(crate) fn connection_cut(_losses: u64) {}

pub(crate) fn reconnected() {}
