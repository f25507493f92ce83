//! What a call shows of itself while it runs: a span on each side, and counts where they are wanted.
//!
//! The names are OpenTelemetry's for RPC.

use std::sync::Arc;
use std::time::Instant;

use tracing::Span;
use tracing::field::Empty;

use crate::descriptor::MethodDescriptor;
use crate::observe::metrics::{CallMetrics, MethodMetrics};
use crate::status::Code;

/// `rpc.system`: who carries the call.
const SYSTEM: &str = "micro";

/// One call, seen by its caller.
#[derive(Debug, Default)]
pub(crate) struct ClientCall {
    span: Option<Span>,
    meter: Option<CallMetrics>,
}

/// One call, seen by its server.
#[derive(Debug)]
pub(crate) struct ServerCall {
    span: Span,
    meter: CallMetrics,
}

impl ClientCall {
    /// The call is made now.
    pub(crate) fn begin(&mut self, method: &'static MethodDescriptor, meters: &Arc<MethodMetrics>) {
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
        self.meter = Some(CallMetrics::begin(meters, None));
    }

    /// The request goes out for this time, from 1.
    pub(crate) fn attempt(&self, number: u32) {
        let span = self.span();
        if !span.is_disabled() {
            span.record("rpc.attempt", number);
        }
        if number > 1 {
            tracing::debug!(parent: &span, attempt = number, "sent again");
            if let Some(meter) = &self.meter {
                meter.retried();
            }
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone().unwrap_or_else(Span::none)
    }

    /// The call has ended, with a failure if there is a code.
    pub(crate) fn end(&mut self, failure: Option<Code>) {
        if let Some(span) = &self.span {
            record_end(span, failure);
        }
        if let Some(mut meter) = self.meter.take() {
            meter.end(failure);
        }
    }
}

impl ServerCall {
    /// The call was admitted; `received` is when its request came in.
    pub(crate) fn begin(
        method: &'static MethodDescriptor,
        meters: &Arc<MethodMetrics>,
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
            meter: CallMetrics::begin(meters, Some(received)),
        }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The call has ended, with a failure if there is a code.
    pub(crate) fn end(&mut self, failure: Option<Code>) {
        record_end(&self.span, failure);
        self.meter.end(failure);
    }
}

/// One event that leaves; `name` is its message.
pub(crate) fn publish_span(name: &'static str, subject: &str) -> Span {
    tracing::info_span!(
        "publish",
        otel.name = name,
        otel.kind = "producer",
        messaging.system = "nats",
        messaging.destination.name = subject,
    )
}

/// One event that a handler takes.
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

fn parts(method: &'static MethodDescriptor) -> (&'static str, &'static str) {
    let service = method.full_name.strip_suffix(method.name);
    let service = service.and_then(|service| service.strip_suffix('.'));
    (service.unwrap_or_default(), method.name)
}
