//! `WorkerPermit`: the right to run one handler of a durable consumer.

use std::sync::Arc;

use crate::execute::ConcurrencyLimit;
use crate::jetstream::in_flight::InFlight;

/// One of a consumer's `max_concurrent` permits, given back when it is dropped.
///
/// Giving it back wakes the consumer loop, which may have events that are ready and had no permit.
pub(super) struct WorkerPermit {
    limit: Arc<ConcurrencyLimit>,
    in_flight: Arc<InFlight>,
}

impl WorkerPermit {
    /// Takes a permit; `None` if all are taken.
    pub(super) fn try_acquire(
        limit: &Arc<ConcurrencyLimit>,
        in_flight: &Arc<InFlight>,
    ) -> Option<Self> {
        limit.try_acquire().then(|| Self {
            limit: Arc::clone(limit),
            in_flight: Arc::clone(in_flight),
        })
    }
}

impl Drop for WorkerPermit {
    fn drop(&mut self) {
        self.limit.release();
        self.in_flight.freed.notify_one();
    }
}
