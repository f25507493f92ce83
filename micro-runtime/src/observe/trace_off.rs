//! Stands in for `trace.rs` without the feature `opentelemetry`: no trace is started or continued. Trace headers that
//! arrive are still forwarded with nested calls, by `Context`.

use async_nats::HeaderMap;
use tracing::Span;

pub(crate) fn inject(_: &Span, _: &mut Option<HeaderMap>) {}

pub(crate) fn extract(_: &Span, _: Option<&HeaderMap>) {}

#[cfg(feature = "jetstream")]
pub(crate) fn link(_: &Span, _: &HeaderMap) {}
