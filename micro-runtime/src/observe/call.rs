//! `ClientCall` and `ServerCall`: span and metrics of one call, on either side of it.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::descriptor::MethodDescriptor;
use crate::observe::metrics::{CallMetrics, MethodMetrics};
use crate::status::Code;

/// Value of `rpc.system`.
const SYSTEM: &str = "micro";

/// Span and metrics of one call at its caller.
///
/// By default it has neither: a call begins when its future is polled first, not when it is made.
#[derive(Debug, Default)]
pub(crate) struct ClientCall {
    span: Option<Span>,
    metrics: Option<CallMetrics>,
}

/// Span and metrics of one call at its server.
#[derive(Debug)]
pub(crate) struct ServerCall {
    span: Span,
    metrics: CallMetrics,
}

impl ClientCall {
    /// Starts span and metrics: the call is being made now.
    pub(crate) fn begin(
        &mut self,
        method: &'static MethodDescriptor,
        metrics: &Arc<MethodMetrics>,
    ) {
        let (service, name) = parts(method);
        self.span = Some(tracing::info_span!(
            "rpc",
            otel.name = method.full_name,
            otel.kind = "client",
            rpc.system = SYSTEM,
            rpc.service = service,
            rpc.method = name,
            rpc.attempt = Empty,
            rpc.status = Empty,
        ));
        self.metrics = Some(CallMetrics::begin(metrics, None));
    }

    /// Records that the request is sent; `number` counts from 1, and those above are retries.
    pub(crate) fn attempt(&self, number: u32) {
        let span = self.span();
        if !span.is_disabled() {
            span.record("rpc.attempt", number);
        }
        if number > 1 {
            tracing::debug!(parent: &span, attempt = number, "sent again");
            if let Some(metrics) = &self.metrics {
                metrics.retried();
            }
        }
    }

    /// Returns the span; a disabled one before [`begin`](Self::begin).
    pub(crate) fn span(&self) -> Span {
        self.span.clone().unwrap_or_else(Span::none)
    }

    /// Records the end of the call; `failure` is the code of its failure, if it failed.
    ///
    /// A call that is dropped before is counted as `CANCELLED`.
    pub(crate) fn end(&mut self, failure: Option<Code>) {
        if let Some(span) = &self.span {
            record_end(span, failure);
        }
        if let Some(mut metrics) = self.metrics.take() {
            metrics.end(failure);
        }
    }
}

impl ServerCall {
    /// Starts span and metrics of a call that was admitted. `received` is the time at which its request arrived, so
    /// that the duration includes the wait for admission.
    pub(crate) fn begin(
        method: &'static MethodDescriptor,
        metrics: &Arc<MethodMetrics>,
        received: Instant,
    ) -> Self {
        let (service, name) = parts(method);
        let span = tracing::info_span!(
            "rpc",
            otel.name = method.full_name,
            otel.kind = "server",
            rpc.system = SYSTEM,
            rpc.service = service,
            rpc.method = name,
            rpc.status = Empty,
        );
        Self {
            span,
            metrics: CallMetrics::begin(metrics, Some(received)),
        }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Records the end of the call; `failure` is the code of its failure, if it failed. Only the first end counts.
    pub(crate) fn end(&mut self, failure: Option<Code>) {
        record_end(&self.span, failure);
        self.metrics.end(failure);
    }
}

/// Returns the span of publishing one event; `name` is the full name of its message.
pub(crate) fn publish_span(name: &'static str, subject: &str) -> Span {
    tracing::info_span!(
        "publish",
        otel.name = name,
        otel.kind = "producer",
        messaging.system = "nats",
        messaging.destination.name = subject,
    )
}

/// Returns the span of handling one event; `name` is the full name of its message.
pub(crate) fn event_span(name: &'static str, subject: &str) -> Span {
    tracing::info_span!(
        "event",
        otel.name = name,
        otel.kind = "consumer",
        messaging.system = "nats",
        messaging.destination.name = subject,
    )
}

fn record_end(span: &Span, failure: Option<Code>) {
    if !span.is_disabled() {
        span.record("rpc.status", failure.map_or("OK", Code::name));
    }
}

/// Returns the full name of the service and the name of the method.
fn parts(method: &'static MethodDescriptor) -> (&'static str, &'static str) {
    let service = method.full_name.strip_suffix(method.name);
    let service = service.and_then(|service| service.strip_suffix('.'));
    (service.unwrap_or_default(), method.name)
}
