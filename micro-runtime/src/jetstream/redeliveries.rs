//! `Redeliveries`: redelivered events of one consumer on their way to a handler, judged, and one suspect at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use crate::execute::ConcurrencyLimit;
use crate::jetstream::delivery_handler::HandlerScope;
use crate::jetstream::in_flight::InFlight;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::worker_permit::WorkerPermit;

/// Maximum wait for judgments at the end of the grace period.
const LAST_JUDGMENT_TIMEOUT: Duration = Duration::from_millis(500);

/// Deliveries of events that were delivered before.
///
/// Each is judged first, which asks JetStream and so takes no permit of a worker. Those that are no suspects go on as
/// any other delivery. Suspects wait here: one at a time is handled, so that an event that ends its process takes none
/// with it but those that were delivered for the first time (`delivery_state`).
pub(super) struct Redeliveries {
    judged: FuturesUnordered<BoxFuture<'static, PendingDelivery>>,
    suspects: VecDeque<PendingDelivery>,
    /// One permit, of the suspect at work.
    at_work: Arc<ConcurrencyLimit>,
}

impl Redeliveries {
    pub(super) fn new() -> Self {
        Self {
            judged: FuturesUnordered::new(),
            suspects: VecDeque::new(),
            at_work: Arc::new(ConcurrencyLimit::new(1)),
        }
    }

    /// Begins to judge a delivery.
    pub(super) fn push(&mut self, mut delivery: PendingDelivery, scope: &Arc<HandlerScope>) {
        let scope = Arc::clone(scope);
        self.judged.push(Box::pin(async move {
            scope.acknowledger.judge(&mut delivery).await;
            delivery
        }));
    }

    /// Returns whether a delivery is being judged.
    pub(super) fn is_judging(&self) -> bool {
        !self.judged.is_empty()
    }

    /// Waits until a delivery is judged. Returns it unless it is a suspect, which is kept. Cancel safe.
    pub(super) async fn next_judged(&mut self) -> Option<PendingDelivery> {
        let delivery = self.judged.next().await?;
        if !delivery.judgment.is_suspect {
            return Some(delivery);
        }
        self.suspects.push_back(delivery);
        None
    }

    /// Waits for the judgments that are under way, for a moment, and returns their deliveries: what is given back with
    /// a judgment has its attempts recorded, and is no suspect next time.
    pub(super) async fn finish_judging(&mut self) -> Vec<PendingDelivery> {
        let deadline = Instant::now() + LAST_JUDGMENT_TIMEOUT;
        let mut judged = Vec::new();
        while let Ok(Some(delivery)) = timeout_at(deadline, self.judged.next()).await {
            judged.push(delivery);
        }
        judged
    }

    /// Takes all suspects that wait.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = PendingDelivery> {
        self.suspects.drain(..)
    }

    /// Takes the next suspect with the permits for its handler; `None` while another one is at work, or all `workers`
    /// are.
    pub(super) fn next_suspect(
        &mut self,
        workers: &Arc<ConcurrencyLimit>,
        in_flight: &Arc<InFlight>,
    ) -> Option<(PendingDelivery, [WorkerPermit; 2])> {
        // Looked at first: a permit that is given back at once would wake the loop again and again.
        let is_free = |limit: &ConcurrencyLimit| limit.running() < limit.limit();
        if self.suspects.is_empty() || !is_free(&self.at_work) || !is_free(workers) {
            return None;
        }
        let alone = WorkerPermit::try_acquire(&self.at_work, in_flight)?;
        let worker = WorkerPermit::try_acquire(workers, in_flight)?;
        let suspect = self.suspects.pop_front()?;
        Some((suspect, [alone, worker]))
    }
}
