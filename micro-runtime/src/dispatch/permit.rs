//! `Permit`: the admission of a call at the limits of its server, its service and its method.
//!
//! Three limits and not one, since they protect different things: the server's its memory, the service's
//! what all its methods share (a database), the method's what only it needs. A call counts at each.

use std::any::Any;
use std::sync::Arc;

use async_nats::Subject;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::decode::{DecodePermit, DecodeScope};
use crate::dispatch::burst_refusal::BurstRefusal;
use crate::dispatch::call_limit::CallLimit;
use crate::dispatch::callers::Caller;
use crate::dispatch::served_method::ServedMethod;
use crate::execute::{ConcurrencyLimit, acquire_all};
use crate::memory_budget::{HeldBytes, MemoryBudget};
use crate::stream::STREAM_MEMORY;

/// Minimum length in bytes of a request that a thread may decode, which holds the permits then.
const MIN_LARGE_LEN: usize = 16 * 1024;

/// One running call at every limit that it counts for. The permits are given back when it is dropped,
/// which must be after the reply has left: [`ServerState::call_limit`] bounds what waits to be sent, too. What outlives
/// its call holds a [`PermitShare`].
///
/// [`ServerState::call_limit`]: crate::dispatch::server_state::ServerState::call_limit
pub(super) struct Permit {
    method: Arc<ServedMethod>,
    /// Of a call that is a stream, or whose request or its elements are large.
    caller: Option<Box<CallerPermit>>,
    is_stream: bool,
    /// `None` for nearly all calls, which nothing outlives.
    shared: Option<PermitShare>,
}

/// The permits of a call that something outlives. They are given back with the last share.
#[derive(Clone)]
pub(super) struct PermitShare(Arc<Release>);

/// Permits of a call that has a thread: they are held until the thread is free again, and so is the stop of the
/// server.
pub(super) struct ThreadPermit {
    _permit: PermitShare,
    _thread: TaskTrackerToken,
}

/// Gives the permits of a call back when dropped.
struct Release {
    method: Arc<ServedMethod>,
    caller: Option<Box<CallerPermit>>,
    is_stream: bool,
}

/// The part of a call in the share of its caller.
struct CallerPermit {
    caller: Arc<Caller>,
    held: HeldBytes,
}

impl Permit {
    /// Takes a permit of every limit, or of none, without waiting, and the memory of the request if that counts. A
    /// refusal is counted as shed.
    ///
    /// # Errors
    ///
    /// Why the call is refused: the limit which is reached.
    pub(super) fn acquire(
        method: &Arc<ServedMethod>,
        is_stream: bool,
        request: &[u8],
        is_json: bool,
        reply: Option<&Subject>,
    ) -> Result<Self, BurstRefusal> {
        let acquired = acquire_all(&limits(method)[..count(is_stream)]);
        let acquired = acquired.map_err(|index| BurstRefusal::Limit(CallLimit::ALL[index]));
        let permitted = acquired.and_then(|()| {
            let mut permit = Self {
                method: Arc::clone(method),
                caller: None,
                is_stream,
                shared: None,
            };
            if is_stream || method.request_sizes.counts(request, is_json) {
                permit.take_share(request.len(), reply)?;
            }
            Ok(permit)
        });
        if permitted.is_err() {
            method.metrics.shed();
            method.stats.shed();
        }
        permitted
    }

    /// Takes what the call needs of the share of its caller.
    fn take_share(
        &mut self,
        request_len: usize,
        reply: Option<&Subject>,
    ) -> Result<(), BurstRefusal> {
        let reply = reply.map_or("", |reply| reply);
        let caller = self.method.server.callers.of_reply(reply);
        let bytes = request_len + if self.is_stream { STREAM_MEMORY } else { 0 };
        let held = caller.memory.try_take(bytes).ok_or(BurstRefusal::Memory)?;
        if self.is_stream && !caller.streams.try_acquire() {
            return Err(BurstRefusal::Limit(CallLimit::StreamsOfCaller));
        }
        self.caller = Some(Box::new(CallerPermit { caller, held }));
        Ok(())
    }

    /// Returns the budget of the caller's share, for what it sends later; `None` of a call that has no part in it.
    pub(super) fn memory(&self) -> Option<&Arc<MemoryBudget>> {
        let caller = match &self.shared {
            Some(PermitShare(release)) => &release.caller,
            None => &self.caller,
        };
        caller.as_ref()?.held.budget()
    }

    /// Returns what the messages of the call are decoded against; `None` if its one request takes so little memory that
    /// it does not count.
    pub(super) fn decode_scope(
        &mut self,
        request_len: usize,
        deadline: Option<Instant>,
    ) -> Option<DecodeScope> {
        let memory = Arc::clone(self.memory()?);
        let sizes = Arc::clone(&self.method.request_sizes);
        let is_large = self.is_stream || request_len >= MIN_LARGE_LEN;
        let permit = is_large.then(|| {
            let PermitShare(release) = self.share();
            let permit: Arc<dyn DecodePermit> = release;
            Arc::downgrade(&permit)
        });
        Some(DecodeScope::new(memory, sizes, permit, deadline))
    }

    pub(super) fn method(&self) -> &Arc<ServedMethod> {
        &self.method
    }

    /// Returns a share of the permits, for what outlives the call.
    pub(super) fn share(&mut self) -> PermitShare {
        let shared = self.shared.get_or_insert_with(|| {
            PermitShare(Arc::new(Release {
                method: Arc::clone(&self.method),
                caller: self.caller.take(),
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

impl DecodePermit for Release {
    fn hold(self: Arc<Self>) -> Box<dyn Any + Send> {
        Box::new(ThreadPermit {
            _thread: self.method.server.threads.token(),
            _permit: PermitShare(self),
        })
    }
}

impl ServedMethod {
    /// Returns the maximum number of calls that run at a time.
    pub(super) fn max_concurrent(&self, limit: CallLimit) -> usize {
        match limit {
            CallLimit::StreamsOfCaller => self.server.callers.max_streams(),
            limit => limits(self)[limit as usize].limit(),
        }
    }

    /// Returns whether a limit that counts for each call is reached.
    pub(super) fn is_full(&self) -> bool {
        limits(self)[..count(false)]
            .iter()
            .any(|limit| limit.running() >= limit.limit())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.shared.is_none() {
            release(&self.method, self.is_stream, self.caller.as_deref());
        }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        release(&self.method, self.is_stream, self.caller.as_deref());
    }
}

fn release(method: &ServedMethod, is_stream: bool, caller: Option<&CallerPermit>) {
    if let Some(share) = caller
        && is_stream
    {
        share.caller.streams.release();
    }
    limits(method)[..count(is_stream)]
        .iter()
        .for_each(|limit| limit.release());
}

/// Returns the limits of a call as [`CallLimit`] orders them: the widest first; the last counts streams only.
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
