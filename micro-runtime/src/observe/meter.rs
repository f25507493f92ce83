//! Counts calls with the `metrics` crate, for whatever recorder the program has installed.

use std::time::Instant;

use metrics::{counter, gauge, histogram};

use crate::descriptor::MethodDescriptor;
use crate::observe::Side;
use crate::status::Code;

/// One call that is counted: in flight until it ends, with its code and its time.
#[derive(Debug)]
pub(crate) struct Meter {
    side: Side,
    method: &'static MethodDescriptor,
    started: Instant,
    has_ended: bool,
}

/// The names of one side's metrics.
struct Names {
    requests: &'static str,
    errors: &'static str,
    duration: &'static str,
    in_flight: &'static str,
}

const CLIENT: Names = Names {
    requests: "rpc.client.requests",
    errors: "rpc.client.errors",
    duration: "rpc.client.duration",
    in_flight: "rpc.client.in_flight",
};
const SERVER: Names = Names {
    requests: "rpc.server.requests",
    errors: "rpc.server.errors",
    duration: "rpc.server.duration",
    in_flight: "rpc.server.in_flight",
};

impl Meter {
    pub(crate) fn begin(side: Side, method: &'static MethodDescriptor) -> Self {
        Self::begin_at(side, method, Instant::now())
    }

    pub(crate) fn begin_at(
        side: Side,
        method: &'static MethodDescriptor,
        started: Instant,
    ) -> Self {
        let meter = Self {
            side,
            method,
            started,
            has_ended: false,
        };
        let names = meter.names();
        counter!(names.requests, "method" => method.full_name).increment(1);
        gauge!(names.in_flight, "method" => method.full_name).increment(1);
        meter
    }

    pub(crate) fn retried(&self) {
        counter!("rpc.client.retries", "method" => self.method.full_name).increment(1);
    }

    /// The call has ended, with a failure if there is a code. Only the first end counts.
    pub(crate) fn end(&mut self, failure: Option<Code>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let names = self.names();
        let method = self.method.full_name;
        gauge!(names.in_flight, "method" => method).decrement(1);
        histogram!(names.duration, "method" => method).record(self.started.elapsed());
        if let Some(code) = failure {
            counter!(names.errors, "method" => method, "code" => code.name()).increment(1);
        }
    }

    fn names(&self) -> &'static Names {
        match self.side {
            Side::Client => &CLIENT,
            Side::Server => &SERVER,
        }
    }
}

/// A call that is dropped before its end was given up by its caller.
impl Drop for Meter {
    fn drop(&mut self) {
        self.end(Some(Code::Canceled));
    }
}

/// A request was refused since a limit is reached.
pub(crate) fn shed(method: &'static MethodDescriptor) {
    counter!("rpc.server.shed", "method" => method.full_name).increment(1);
}

/// The connection to NATS is back.
pub(crate) fn reconnected() {
    counter!("nats.client.reconnects").increment(1);
}
