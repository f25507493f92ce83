//! `Permit`: the admission of a call at the limits of its server, its service and its method.
//!
//! Three limits and not one, since they protect different things: the server's its memory, the service's
//! what all its methods share (a database), the method's what only it needs. A call counts at each.

use std::sync::Arc;

use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::dispatch::served_method::ServedMethod;
use crate::execute::{ConcurrencyLimit, acquire_all};
use crate::status::details::RetryInfo;
use crate::status::{Reason, Status};

/// Delay in milliseconds that a refused caller is advised to wait: long enough for a burst to pass, and
/// short beside the usual deadlines (docs/PROTOCOL.md, FAIL-11).
const RETRY_AFTER_MS: i32 = 100;

/// One running call at every limit that it counts for. The permits are given back when it is dropped,
/// which must be after the reply has left: [`ServerState::call_limit`] bounds what waits to be sent, too. What outlives
/// its call holds a [`PermitShare`].
///
/// [`ServerState::call_limit`]: crate::dispatch::server_state::ServerState::call_limit
pub(super) struct Permit {
    method: Arc<ServedMethod>,
    is_stream: bool,
    /// `None` for nearly all calls, which nothing outlives.
    shared: Option<PermitShare>,
}

/// The permits of a call that something outlives. They are given back with the last share.
#[derive(Clone)]
pub(super) struct PermitShare(#[expect(dead_code, reason = "held for its drop")] Arc<Release>);

/// Permits of a call that has a thread: they are held until the thread is free again, and so is the stop of the
/// server.
pub(super) struct ThreadPermit {
    _permit: PermitShare,
    _thread: TaskTrackerToken,
}

/// Gives the permits of a call back when dropped.
struct Release {
    method: Arc<ServedMethod>,
    is_stream: bool,
}

impl Permit {
    /// Takes a permit of every limit, or of none, without waiting. A refusal is counted as shed.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` that names the limit which is reached, with a `RetryInfo`. A client retries it
    /// on its own only if the method is idempotent.
    pub(super) fn acquire(method: &Arc<ServedMethod>, is_stream: bool) -> Result<Self, Status> {
        match acquire_all(&limits(method)[..count(is_stream)]) {
            Ok(()) => Ok(Self {
                method: Arc::clone(method),
                is_stream,
                shared: None,
            }),
            Err(index) => {
                method.metrics.shed();
                method.stats.shed();
                Err(overloaded(method, index))
            }
        }
    }

    pub(super) fn method(&self) -> &Arc<ServedMethod> {
        &self.method
    }

    /// Returns a share of the permits, for what outlives the call.
    pub(super) fn share(&mut self) -> PermitShare {
        let shared = self.shared.get_or_insert_with(|| {
            PermitShare(Arc::new(Release {
                method: Arc::clone(&self.method),
                is_stream: self.is_stream,
            }))
        });
        shared.clone()
    }

    /// Returns a share of the permits for the thread of a handler under `#[rpc(blocking)]`.
    pub(super) fn share_with_thread(&mut self) -> ThreadPermit {
        ThreadPermit {
            _thread: self.method.server.threads.token(),
            _permit: self.share(),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.shared.is_none() {
            release(&self.method, self.is_stream);
        }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        release(&self.method, self.is_stream);
    }
}

fn release(method: &ServedMethod, is_stream: bool) {
    limits(method)[..count(is_stream)]
        .iter()
        .for_each(|limit| limit.release());
}

/// Returns the limits of a call, the widest first; the last counts streams only.
fn limits(method: &ServedMethod) -> [&ConcurrencyLimit; 4] {
    [
        &method.server.call_limit,
        &method.service_limit,
        &method.method_limit,
        &method.server.stream_limit,
    ]
}

/// Returns how many of the [`limits`] apply.
fn count(is_stream: bool) -> usize {
    if is_stream { 4 } else { 3 }
}

fn overloaded(method: &ServedMethod, index: usize) -> Status {
    let name = method.descriptor.full_name;
    let service = name.strip_suffix(method.descriptor.name).unwrap_or(name);
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
