//! `DeliveryHandler`: hands the deliveries of one consumer to its subscriber.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::event::{EventHandler, InlineRunner};
use crate::execute::PollCost;
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::pending_delivery::PendingDelivery;

/// Handles and acknowledges deliveries that were handed out together.
pub(super) trait DeliveryHandler: Send + Sync + 'static {
    /// Room to handle deliveries in place, one by one; `None` for a handler of batches.
    fn inline(&self) -> Option<InlineRunner> {
        None
    }

    /// Handles and acknowledges all of them; nothing runs before the first poll.
    fn handle(&self, deliveries: Vec<PendingDelivery>, scope: Arc<HandlerScope>) -> BatchFuture;
}

/// The handling of deliveries that were handed out together.
pub(super) type BatchFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What all handlers of one consumer share.
pub(super) struct HandlerScope {
    pub(super) acknowledger: Acknowledger,
    /// First polls of the subscriber.
    pub(super) cost: PollCost,
    /// Canceled when the grace period is over; the deliveries are given back then.
    pub(super) stop: CancellationToken,
}

/// Hands deliveries to a subscriber one by one.
pub(super) struct SingleHandler(pub(super) EventHandler);

impl DeliveryHandler for SingleHandler {
    fn inline(&self) -> Option<InlineRunner> {
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
                        let handler = handler.suspended(ctx, payload);
                        handler.run(Some(&scope.cost), &scope.stop).await
                    }
                    Err(status) => {
                        handler.counters.record(Some(&status));
                        Some(Err(status))
                    }
                };
                // A handler that was stopped has no outcome: its delivery is given back with all others.
                let Some(handled) = handled else {
                    return;
                };
                acknowledger.ack_or_nak(&delivery, handled).await;
            }
        })
    }
}
