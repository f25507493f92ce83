//! Limits: how much runs at a time in the server, the service and the method.

use std::sync::Arc;

use crate::dispatch::served_method::ServedMethod;
use crate::status::details::RetryInfo;
use crate::status::{Reason, Status};

/// When a caller may try again whom a limit turned away.
const RETRY_AFTER_MS: i32 = 100;

/// A place in the server and in the method; given back when dropped.
pub(super) struct Permit {
    endpoint: Arc<ServedMethod>,
    is_stream: bool,
}

impl Permit {
    pub(super) fn endpoint(&self) -> &Arc<ServedMethod> {
        &self.endpoint
    }
}

impl ServedMethod {
    /// Takes a place at every limit, or says which one is reached.
    pub(super) fn permit(self: &Arc<Self>, is_stream: bool) -> Result<Permit, Status> {
        let name = self.method.full_name;
        let service = || name.strip_suffix(self.method.name).unwrap_or(name);
        let gates = [
            (&self.shared.in_flight, "the server"),
            (&*self.service_in_flight, service().trim_end_matches('.')),
            (&self.in_flight, name),
            (&self.shared.streams, "the server's streams"),
        ];
        let gates = &gates[..if is_stream { 4 } else { 3 }];
        for (index, (gate, who)) in gates.iter().enumerate() {
            if !gate.try_acquire() {
                gates[..index].iter().for_each(|(gate, _)| gate.release());
                self.meters.shed();
                self.stats.shed();
                return Err(overloaded(who, gate.limit));
            }
        }
        Ok(Permit {
            endpoint: Arc::clone(self),
            is_stream,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let endpoint = &self.endpoint;
        endpoint.in_flight.release();
        endpoint.service_in_flight.release();
        endpoint.shared.in_flight.release();
        if self.is_stream {
            endpoint.shared.streams.release();
        }
    }
}

fn overloaded(who: &str, limit: usize) -> Status {
    Reason::Overloaded
        .status(format!("{who} runs {limit} calls already, its limit"))
        .with_detail(&RetryInfo {
            retry_delay: Some(prost_types::Duration {
                seconds: 0,
                nanos: RETRY_AFTER_MS * 1_000_000,
            }),
        })
}
