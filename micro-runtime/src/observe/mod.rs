//! Spans and metrics of calls and events.
//!
//! The names of spans, their fields and the metrics are those of OpenTelemetry's conventions for RPC and messaging,
//! and users build dashboards on them: renaming one is a breaking change. `metrics` and `opentelemetry` are features;
//! without them `metrics_off.rs` and `trace_off.rs` stand in with the same functions, which the compiler removes.

mod call;
#[cfg_attr(not(feature = "metrics"), path = "metrics_off.rs")]
mod metrics;
mod side;
#[cfg_attr(not(feature = "opentelemetry"), path = "trace_off.rs")]
mod trace;

pub(crate) use call::{ClientCall, ServerCall, event_span, publish_span};
pub(crate) use metrics::{
    EventMetrics, MemoryMetrics, MethodMetrics, cancel_dropped, cancel_refused, connection_cut,
    dropped, event_failed, event_refused_by_nats, message_lost, published, reconnected, refused,
    reply_dropped, reply_refused, reply_unmatched, reply_unsent,
};
pub(crate) use side::Side;
#[cfg(feature = "jetstream")]
pub(crate) use trace::link;
pub(crate) use trace::{extract, inject};
