//! `BatchSubscriber`: many events for one handler call, acknowledged together once it succeeded.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::context::{Context, Delivery};
use crate::event;
use crate::event::{Event, EventCounters, EventObserver, Subscriber};
use crate::execute::{
    BoxFuture, BoxedHandler, Completion, DeadlinePolicy, Execution, deadline_passed,
};
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::delivery_handler::{BatchFuture, DeliveryHandler, HandlerScope};
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::status::Status;

/// A stored event, and where it is stored.
///
/// # Examples
///
/// ```
/// use micro_runtime::jetstream::{Delivery, DurableEvent};
///
/// let delivered = DurableEvent { event: "an event".to_owned(), delivery: Delivery::for_test("S", 7) };
/// assert_eq!(delivered.len(), 8);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DurableEvent<E> {
    /// The event.
    pub event: E,
    /// Its place in the stream.
    pub delivery: Delivery,
}

impl<E> Deref for DurableEvent<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}

/// Handles many durable events at a time, as in one transaction.
///
/// All are acknowledged once it returns `Ok`; with `Err` all are delivered again later. An event's
/// third delivery and those after it come alone, so that one that cannot be handled does not take
/// others with it into the dead letters.
///
/// ```ignore
/// impl BatchSubscriber<Trade> for Recorder {
///     async fn on_batch(&self, _ctx: Context, trades: Vec<DurableEvent<Trade>>) -> Result<(), Status> {
///         let transaction = self.begin().await?;
///         for trade in &trades {
///             transaction.insert(trade.delivery.sequence(), &trade.event)?;   // or ignore: seen before
///         }
///         transaction.commit().await
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle batches of `{E}`",
    note = "write `impl BatchSubscriber<{E}> for {Self}` with `async fn on_batch(&self, ctx: Context, events: Vec<DurableEvent<{E}>>) -> Result<(), Status>`"
)]
pub trait BatchSubscriber<E: Event>: Send + Sync + 'static {
    /// Handles the events, which are in the stream's order but for those that are delivered again.
    fn on_batch(
        &self,
        ctx: Context,
        events: Vec<DurableEvent<E>>,
    ) -> impl Future<Output = Result<(), Status>> + Send;
}

impl<E: Event, T: BatchSubscriber<E>> BatchSubscriber<E> for Arc<T> {
    async fn on_batch(&self, ctx: Context, events: Vec<DurableEvent<E>>) -> Result<(), Status> {
        T::on_batch(self, ctx, events).await
    }
}

/// Decodes, calls the subscriber, answers.
pub(super) struct BatchHandler<E, S> {
    pub(super) subscriber: Arc<S>,
    pub(super) counters: Arc<EventCounters>,
    pub(super) event: PhantomData<fn() -> E>,
}

/// A subscriber of batches that gets an event at a time.
pub(super) struct SingleEventBatches<S>(pub(super) Arc<S>);

impl<E: Event, S: BatchSubscriber<E>> Subscriber<E> for SingleEventBatches<S> {
    async fn on_event(&self, ctx: Context, event: E) -> Result<(), Status> {
        let Some(delivery) = ctx.delivery().cloned() else {
            return Err(Status::internal("a durable event without a delivery"));
        };
        self.0
            .on_batch(ctx, vec![DurableEvent { event, delivery }])
            .await
    }
}

impl<E: Event, S: BatchSubscriber<E>> DeliveryHandler for BatchHandler<E, S> {
    fn handle(&self, deliveries: Vec<PendingDelivery>, scope: Arc<HandlerScope>) -> BatchFuture {
        let (subscriber, counters) = (Arc::clone(&self.subscriber), Arc::clone(&self.counters));
        Box::pin(async move {
            let acknowledger = &scope.acknowledger;
            let (deliveries, events) = decode::<E>(deliveries, acknowledger, &counters).await;
            if events.is_empty() {
                return;
            }
            let ctx = Context::of_batch();
            let observer = EventObserver::of_batch(E::DESCRIPTOR, counters, &ctx, events.len());
            let batch_ctx = ctx.clone();
            let handler: BoxFuture<'_, ()> = Box::pin(async move {
                let handled = subscriber.on_batch(batch_ctx, events).await;
                // The reason of a nested call's failure is no reason of this handler's failure.
                handled.map_err(|status| status.with_reason(None))
            });
            let mut execution = Execution::new(ctx, BoxedHandler::new(handler), observer);
            let cost = Some(&scope.cost);
            let handled = match execution.run(cost, &scope.stop, DeadlinePolicy::Drop).await {
                Completion::Returned(handled) => handled,
                Completion::DeadlinePassed => Err(deadline_passed(E::DESCRIPTOR.full_name)),
                // It has no outcome: the deliveries are given back with all others.
                Completion::Stopped => return,
            };
            execution.record(handled.as_ref().err());
            for delivery in &deliveries {
                acknowledger.ack_or_nak(delivery, handled.clone()).await;
            }
        })
    }
}

/// Takes out what is no event, and what has been tried often enough.
async fn decode<E: Event>(
    jobs: Vec<PendingDelivery>,
    settle: &Acknowledger,
    counters: &EventCounters,
) -> (Vec<PendingDelivery>, Vec<DurableEvent<E>>) {
    let mut events = Vec::with_capacity(jobs.len());
    let mut kept = Vec::with_capacity(jobs.len());
    for job in jobs {
        if let Some(status) = settle.exhausted(&job) {
            settle.terminate(&job, &status).await;
            continue;
        }
        let decoded = settle
            .receive(&job, None)
            .and_then(|(_, payload)| event::decode::<E>(payload));
        match decoded {
            Ok(event) => {
                let delivery = job.delivery.clone();
                events.push(DurableEvent { event, delivery });
                kept.push(job);
            }
            Err(status) => {
                counters.record(Some(&status));
                settle.ack_or_nak(&job, Err(status)).await;
            }
        }
    }
    (kept, events)
}
