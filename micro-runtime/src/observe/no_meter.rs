//! Without the feature `metrics` nothing is counted and no clock is read.

use std::time::Instant;

use crate::descriptor::MethodDescriptor;
use crate::observe::Side;
use crate::status::Code;

#[derive(Debug)]
pub(crate) struct Meter;

impl Meter {
    pub(crate) fn begin(_: Side, _: &'static MethodDescriptor) -> Self {
        Self
    }

    pub(crate) fn begin_at(_: Side, _: &'static MethodDescriptor, _: Instant) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "its twin counts here")]
    pub(crate) fn retried(&self) {}

    #[expect(clippy::unused_self, reason = "its twin counts here")]
    pub(crate) fn end(&mut self, _: Option<Code>) {}
}

pub(crate) fn shed(_: &'static MethodDescriptor) {}

pub(crate) fn reconnected() {}
