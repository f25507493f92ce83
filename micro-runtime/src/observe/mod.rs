//! Spans and metrics of calls and events. The names are OpenTelemetry's for RPC.

mod call;
#[cfg_attr(not(feature = "metrics"), path = "metrics_off.rs")]
mod metrics;
mod side;
#[cfg_attr(not(feature = "opentelemetry"), path = "trace_off.rs")]
mod trace;

pub(crate) use call::{ClientCall, ServerCall, event_span, publish_span};
pub(crate) use metrics::{
    MethodMetrics, dropped, event_dropped, event_failed, event_received, published, reconnected,
};
pub(crate) use side::Side;
pub(crate) use trace::{extract, inject};
