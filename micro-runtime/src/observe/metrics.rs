//! Counts calls with the `metrics` crate, for whatever recorder the program has installed.

use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::descriptor::MethodDescriptor;
use crate::observe::side::Side;
use crate::status::Code;

/// The handles of one method's metrics. They are made once, when the server starts or the client is
/// made, so that a call allocates nothing for them; the recorder must be installed by then.
pub(crate) struct MethodMetrics {
    side: Side,
    method: &'static str,
    requests: Counter,
    duration: Histogram,
    in_flight: Gauge,
    shed: Counter,
    retries: Counter,
}

/// One call that is counted: in flight until it ends, with its code and its time.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    meters: Arc<MethodMetrics>,
    started: Instant,
    has_ended: bool,
}

impl MethodMetrics {
    pub(crate) fn new(side: Side, method: &'static MethodDescriptor) -> Self {
        let method = method.full_name;
        match side {
            Side::Client => Self {
                side,
                method,
                requests: counter!("rpc.client.requests", "method" => method),
                duration: histogram!("rpc.client.duration", "method" => method),
                in_flight: gauge!("rpc.client.in_flight", "method" => method),
                shed: Counter::noop(),
                retries: counter!("rpc.client.retries", "method" => method),
            },
            Side::Server => Self {
                side,
                method,
                requests: counter!("rpc.server.requests", "method" => method),
                duration: histogram!("rpc.server.duration", "method" => method),
                in_flight: gauge!("rpc.server.in_flight", "method" => method),
                shed: counter!("rpc.server.shed", "method" => method),
                retries: Counter::noop(),
            },
        }
    }

    /// A request was refused since a limit is reached.
    pub(crate) fn shed(&self) {
        self.shed.increment(1);
    }

    fn failed(&self, code: Code) {
        let errors = match self.side {
            Side::Client => "rpc.client.errors",
            Side::Server => "rpc.server.errors",
        };
        counter!(errors, "method" => self.method, "code" => code.name()).increment(1);
    }
}

impl CallMetrics {
    /// Counts a call that began at `started`, or now.
    pub(crate) fn begin(meters: &Arc<MethodMetrics>, started: Option<Instant>) -> Self {
        meters.requests.increment(1);
        meters.in_flight.increment(1);
        Self {
            meters: Arc::clone(meters),
            started: started.unwrap_or_else(Instant::now),
            has_ended: false,
        }
    }

    pub(crate) fn retried(&self) {
        self.meters.retries.increment(1);
    }

    /// The call has ended, with a failure if there is a code. Only the first end counts.
    pub(crate) fn end(&mut self, failure: Option<Code>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.meters.in_flight.decrement(1);
        self.meters.duration.record(self.started.elapsed());
        if let Some(code) = failure {
            self.meters.failed(code);
        }
    }
}

/// A call that is dropped before its end was given up by its caller.
impl Drop for CallMetrics {
    fn drop(&mut self) {
        self.end(Some(Code::Canceled));
    }
}

/// A request was dropped, since its reply would go where no reply may go.
pub(crate) fn dropped(name: &'static str) {
    counter!("rpc.server.dropped", "name" => name).increment(1);
}

/// The connection has taken an event.
pub(crate) fn published(name: &'static str) {
    counter!("event.published", "event" => name).increment(1);
}

/// An event has come in.
pub(crate) fn event_received(name: &'static str) {
    counter!("event.received", "event" => name).increment(1);
}

/// An event could not be decoded, or its handler failed.
pub(crate) fn event_failed(name: &'static str, code: Code) {
    counter!("event.errors", "event" => name, "code" => code.name()).increment(1);
}

/// An event was dropped, since too many waited.
pub(crate) fn event_dropped(name: &'static str) {
    counter!("event.dropped", "event" => name).increment(1);
}

/// The connection to NATS is back.
pub(crate) fn reconnected() {
    counter!("nats.client.reconnects").increment(1);
}

impl std::fmt::Debug for MethodMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}
