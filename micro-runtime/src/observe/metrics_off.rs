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

impl MethodMetrics {
    pub(crate) fn new(_: Side, _: &'static MethodDescriptor) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the function of the same name counts")]
    pub(crate) fn shed(&self) {}
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

pub(crate) fn event_received(_: &'static str) {}

pub(crate) fn event_failed(_: &'static str, _: Code) {}

pub(crate) fn event_dropped(_: &'static str) {}

pub(crate) fn reply_unmatched() {}

pub(crate) fn refused(_: &'static str) {}

pub(crate) fn reconnected() {}
