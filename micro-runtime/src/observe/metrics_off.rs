//! Without the feature `metrics` nothing is counted and no clock is read.

use std::time::Instant;

use crate::descriptor::MethodDescriptor;
use crate::observe::side::Side;
use crate::status::Code;

/// The twin of the handles of one method's metrics.
#[derive(Debug)]
pub(crate) struct MethodMetrics;

/// The twin of one call that is counted.
#[derive(Debug)]
pub(crate) struct CallMetrics;

impl MethodMetrics {
    pub(crate) fn new(_: Side, _: &'static MethodDescriptor) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "its twin counts here")]
    pub(crate) fn shed(&self) {}
}

impl CallMetrics {
    pub(crate) fn begin(_: &std::sync::Arc<MethodMetrics>, _: Option<Instant>) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "its twin counts here")]
    pub(crate) fn retried(&self) {}

    #[expect(clippy::unused_self, reason = "its twin counts here")]
    pub(crate) fn end(&mut self, _: Option<Code>) {}
}

pub(crate) fn dropped(_: &'static str) {}

pub(crate) fn published(_: &'static str) {}

pub(crate) fn event_received(_: &'static str) {}

pub(crate) fn event_failed(_: &'static str, _: Code) {}

pub(crate) fn event_dropped(_: &'static str) {}

pub(crate) fn reconnected() {}
