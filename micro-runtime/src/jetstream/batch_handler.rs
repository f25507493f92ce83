//! `BatchHandler`: runs a `BatchSubscriber` for deliveries that were taken together.

use std::marker::PhantomData;
use std::slice;
use std::sync::Arc;

use tokio::time::Instant;

use crate::context::Context;
use crate::event;
use crate::event::{Event, EventCounters, EventObserver, Subscriber};
use crate::execute::{BoxFuture, BoxedHandler, DeadlinePolicy, Execution, Observer as _};
use crate::jetstream::acknowledger::Acknowledger;
use crate::jetstream::batch_subscriber::BatchSubscriber;
use crate::jetstream::delivery_handler::{BatchFuture, DeliveryHandler, HandlerScope};
use crate::jetstream::durable_event::DurableEvent;
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::observe;
use crate::status::Status;

/// Passes deliveries to a [`BatchSubscriber`], all in one call.
///
/// Those that cannot be part of a batch are taken out first, each with its own outcome: deliveries that are
/// exhausted, and bytes that are no such event. The others succeed or fail together.
pub(super) struct BatchHandler<E, S> {
    pub(super) subscriber: Arc<S>,
    pub(super) counters: Arc<EventCounters>,
    pub(super) event: PhantomData<fn() -> E>,
}

/// Events that one handler gets together; the three lists are of one length.
struct Batch<E> {
    deliveries: Vec<PendingDelivery>,
    contexts: Vec<Context>,
    events: Vec<DurableEvent<E>>,
}

/// A [`BatchSubscriber`] as a [`Subscriber`], which gets batches of one event.
///
/// It completes the `EventHandler` of a durable source, whose counters it shares; the consumer loop itself
/// calls a [`BatchHandler`].
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

/// A batch runs as one [`Execution`]: one span, one deadline, one panic, one outcome that counts for each of
/// its events. It has no inline runner; the consumer loop polls a batch in place only in `start_handlers`.
impl<E: Event, S: BatchSubscriber<E>> DeliveryHandler for BatchHandler<E, S> {
    fn handle(&self, deliveries: Vec<PendingDelivery>, scope: Arc<HandlerScope>) -> BatchFuture {
        let (subscriber, counters) = (Arc::clone(&self.subscriber), Arc::clone(&self.counters));
        Box::pin(async move {
            let acknowledger = &scope.acknowledger;
            let batch = Batch::<E>::decode(deliveries, acknowledger, &counters).await;
            let Batch {
                deliveries,
                contexts,
                events,
            } = batch;
            if events.is_empty() {
                return;
            }
            for delivery in &deliveries {
                acknowledger.record_begun(delivery).await;
            }
            let limit = acknowledger.durable.limit_from(Instant::now());
            let ctx = Context::of_batch(contexts, limit, &acknowledger.stop);
            deliveries.iter().for_each(|delivery| delivery.begin(&ctx));
            let observer = EventObserver::of_batch(E::DESCRIPTOR, counters, &ctx, events.len());
            for trace in ctx.traces_of_batch() {
                observe::link(observer.span(), trace);
            }
            let batch_ctx = ctx.clone();
            let handler: BoxFuture<'_, ()> = Box::pin(async move {
                let handled = subscriber.on_batch(batch_ctx, events).await;
                // As in `EventHandler::new`: the reason belongs to a call that the handler made.
                handled.map_err(|status| status.with_reason(None))
            });
            let mut execution = Execution::new(ctx, BoxedHandler::new(handler), observer);
            let cost = Some(&scope.cost);
            let completion = execution.run(cost, &scope.stop, DeadlinePolicy::Drop).await;
            let Some(handled) = completion.into_outcome(E::DESCRIPTOR.full_name, limit) else {
                // The handler was stopped; see `HandlerScope::stop`.
                return;
            };
            execution.record(handled.as_ref().err());
            acknowledger.ack_or_nak(&deliveries, handled).await;
        })
    }
}

impl<E: Event> Batch<E> {
    /// Decodes the deliveries, and gives up those that cannot be part of a batch. Keeps the others, in the same order.
    async fn decode(
        deliveries: Vec<PendingDelivery>,
        acknowledger: &Acknowledger,
        counters: &EventCounters,
    ) -> Self {
        let mut batch = Self {
            events: Vec::with_capacity(deliveries.len()),
            contexts: Vec::with_capacity(deliveries.len()),
            deliveries: Vec::with_capacity(deliveries.len()),
        };
        for delivery in deliveries {
            if let Some(status) = acknowledger.exhausted(&delivery) {
                acknowledger.terminate(&delivery, &status).await;
                continue;
            }
            let decoded = acknowledger
                .receive(&delivery, None, None)
                .and_then(|(ctx, payload)| Ok((ctx, event::decode::<E>(payload)?)));
            match decoded {
                Ok((ctx, event)) => {
                    let info = delivery.info.clone();
                    batch.events.push(DurableEvent {
                        event,
                        delivery: info,
                    });
                    batch.contexts.push(ctx);
                    batch.deliveries.push(delivery);
                }
                Err(status) => {
                    counters.record(Some(&status));
                    let one = slice::from_ref(&delivery);
                    acknowledger.ack_or_nak(one, Err(status)).await;
                }
            }
        }
        batch
    }
}
