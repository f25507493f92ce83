//! `DeliveryHandler`: runs a subscriber for the deliveries of one consumer and acknowledges them.

use std::future::Future;
use std::pin::Pin;
use std::slice;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::event::{EventHandler, InlineRunner};
use crate::execute::PollCost;
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::pending_delivery::PendingDelivery;

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
                let handled = match acknowledger.receive(&delivery, None) {
                    Ok((ctx, payload)) => {
                        let execution = handler.execution(ctx, payload);
                        execution.run(Some(&scope.cost), &scope.stop).await
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
