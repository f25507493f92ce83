//! `DeliveryHandler`: runs a subscriber for the deliveries of one consumer and acknowledges them.

use std::future::Future;
use std::pin::Pin;
use std::slice;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::TimeLimit;
use crate::event::{EventExecution, EventHandler, InlineRunner};
use crate::execute::PollCost;
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::jetstream::worker_permit::WorkerPermit;
use crate::status::Status;

/// Handles and acknowledges deliveries that were taken together, one by one or as a batch.
pub(super) trait DeliveryHandler: Send + Sync + 'static {
    /// Creates a runner that handles deliveries in place, one by one; `None` for a handler of batches.
    fn inline_runner(&self) -> Option<InlineRunner> {
        None
    }

    /// Handles and acknowledges all of `deliveries`; nothing runs before the first poll.
    ///
    /// Dropping the future leaves the rest unacknowledged.
    fn handle(&self, deliveries: Vec<PendingDelivery>, scope: Arc<HandlerScope>) -> BatchFuture;
}

/// Future of the deliveries that one handler got together.
pub(super) type BatchFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// State that all handlers of one consumer share.
pub(super) struct HandlerScope {
    pub(super) acknowledger: Acknowledger,
    /// First polls of the subscriber's handlers.
    pub(super) cost: PollCost,
    /// Canceled at the end of the grace period. The consumer loop then gives all deliveries back, so that a
    /// handler that was stopped reports nothing.
    pub(super) stop: CancellationToken,
}

impl HandlerScope {
    /// Spawns the handling of deliveries, which ends with the grace period at the latest. The permits are
    /// given back after the handler was dropped.
    pub(super) fn spawn(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        permits: [Option<WorkerPermit>; 2],
        handling: impl Future<Output = ()> + Send + 'static,
    ) {
        let scope = Arc::clone(self);
        tasks.spawn(async move {
            let _permits = permits;
            tokio::select! {
                biased;
                () = handling => {}
                () = scope.stop.cancelled() => {}
            }
        });
    }

    /// Finishes a delivery that was handled in place: runs the handler on that was not ready, up to its `limit`, and
    /// reports the outcome.
    pub(super) async fn finish(
        self: Arc<Self>,
        delivery: PendingDelivery,
        handled: Result<Result<(), Status>, EventExecution>,
        limit: Option<TimeLimit>,
    ) {
        let handled = match handled {
            Ok(handled) => Some(handled),
            Err(execution) => {
                if let Some(ctx) = execution.ctx() {
                    delivery.begin(ctx);
                }
                execution.run(None, &self.stop, limit).await
            }
        };
        if let Some(handled) = handled {
            let one = slice::from_ref(&delivery);
            self.acknowledger.ack_or_nak(one, handled).await;
        }
    }
}

/// Passes deliveries to a [`Subscriber`](crate::Subscriber), one by one.
pub(super) struct SingleHandler(pub(super) EventHandler);

impl DeliveryHandler for SingleHandler {
    fn inline_runner(&self) -> Option<InlineRunner> {
        Some(self.0.inline_runner())
    }

    fn handle(&self, deliveries: Vec<PendingDelivery>, scope: Arc<HandlerScope>) -> BatchFuture {
        let handler = self.0.clone();
        Box::pin(async move {
            let acknowledger = &scope.acknowledger;
            for delivery in deliveries {
                if let Some(status) = acknowledger.exhausted(&delivery) {
                    acknowledger.terminate(&delivery, &status).await;
                    continue;
                }
                acknowledger.record_begun(&delivery).await;
                let limit = acknowledger.durable.limit_from(Instant::now());
                let handled = match acknowledger.receive(&delivery, limit, None) {
                    Ok((ctx, payload)) => {
                        delivery.begin(&ctx);
                        let execution = handler.execution(ctx, payload);
                        execution.run(Some(&scope.cost), &scope.stop, limit).await
                    }
                    Err(status) => {
                        handler.counters.record(Some(&status));
                        Some(Err(status))
                    }
                };
                // A handler that was stopped has no outcome; see `HandlerScope::stop`.
                let Some(handled) = handled else {
                    return;
                };
                acknowledger
                    .ack_or_nak(slice::from_ref(&delivery), handled)
                    .await;
            }
        })
    }
}
