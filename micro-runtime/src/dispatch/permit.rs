//! `Permit`: the admission of a call at the limits of its server, its service and its method.

use std::sync::Arc;

use crate::dispatch::served_method::ServedMethod;
use crate::execute::{ConcurrencyLimit, acquire_all};
use crate::status::details::RetryInfo;
use crate::status::{Reason, Status};

/// Delay that a refused caller is advised to wait, in milliseconds.
const RETRY_AFTER_MS: i32 = 100;

/// One call among those that run, at every limit that it counts for; given back when dropped.
pub(super) struct Permit {
    method: Arc<ServedMethod>,
    is_stream: bool,
}

impl Permit {
    /// Takes a permit of every limit.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` with the limit that is reached, and with a `RetryInfo`.
    pub(super) fn acquire(method: &Arc<ServedMethod>, is_stream: bool) -> Result<Self, Status> {
        match acquire_all(&limits(method)[..count(is_stream)]) {
            Ok(()) => Ok(Self {
                method: Arc::clone(method),
                is_stream,
            }),
            Err(index) => {
                method.meters.shed();
                method.stats.shed();
                Err(overloaded(method, index))
            }
        }
    }

    pub(super) fn method(&self) -> &Arc<ServedMethod> {
        &self.method
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        limits(&self.method)[..count(self.is_stream)]
            .iter()
            .for_each(|limit| limit.release());
    }
}

/// The limits of a call; the last counts streams only.
fn limits(method: &ServedMethod) -> [&ConcurrencyLimit; 4] {
    [
        &method.shared.in_flight,
        &method.service_in_flight,
        &method.in_flight,
        &method.shared.streams,
    ]
}

fn count(is_stream: bool) -> usize {
    if is_stream { 4 } else { 3 }
}

fn overloaded(method: &ServedMethod, index: usize) -> Status {
    let name = method.method.full_name;
    let service = name.strip_suffix(method.method.name).unwrap_or(name);
    let owner = [
        "the server",
        service.trim_end_matches('.'),
        name,
        "the server's streams",
    ][index];
    let limit = limits(method)[index].limit();
    Reason::Overloaded
        .status(format!("{owner} runs {limit} calls already, its limit"))
        .with_detail(&RetryInfo {
            retry_delay: Some(prost_types::Duration {
                seconds: 0,
                nanos: RETRY_AFTER_MS * 1_000_000,
            }),
        })
}
