//! `BatchSubscriber`: many events for one handler call, acknowledged together once it succeeded.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::context::{Context, Delivery};
use crate::event;
use crate::event::{Event, EventCounters, Subscriber};
use crate::jetstream::acknowledger::{Acknowledger, panicked};
use crate::jetstream::consumer_loop::{BatchFuture, DeliveryHandler};
use crate::jetstream::pending_delivery::PendingDelivery;
use crate::status::Status;

/// A stored event, and where it is stored.
///
/// # Examples
///
/// ```
/// use micro_runtime::{Delivered, Delivery};
///
/// let delivered = Delivered { event: "an event".to_owned(), delivery: Delivery::for_test("S", 7) };
/// assert_eq!(delivered.len(), 8);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered<E> {
    /// The event.
    pub event: E,
    /// Its place in the stream.
    pub delivery: Delivery,
}

impl<E> Deref for Delivered<E> {
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
///     async fn on_batch(&self, _ctx: Context, trades: Vec<Delivered<Trade>>) -> Result<(), Status> {
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
    note = "write `impl BatchSubscriber<{E}> for {Self}` with `async fn on_batch(&self, ctx: Context, events: Vec<Delivered<{E}>>) -> Result<(), Status>`"
)]
pub trait BatchSubscriber<E: Event>: Send + Sync + 'static {
    /// Handles the events, which are in the stream's order but for those that are delivered again.
    fn on_batch(
        &self,
        ctx: Context,
        events: Vec<Delivered<E>>,
    ) -> impl Future<Output = Result<(), Status>> + Send;
}

impl<E: Event, T: BatchSubscriber<E>> BatchSubscriber<E> for Arc<T> {
    async fn on_batch(&self, ctx: Context, events: Vec<Delivered<E>>) -> Result<(), Status> {
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
            .on_batch(ctx, vec![Delivered { event, delivery }])
            .await
    }
}

impl<E: Event, S: BatchSubscriber<E>> DeliveryHandler for BatchHandler<E, S> {
    fn handle(&self, jobs: Vec<PendingDelivery>, settle: Arc<Acknowledger>) -> BatchFuture {
        let (subscriber, counters) = (Arc::clone(&self.subscriber), Arc::clone(&self.counters));
        Box::pin(async move {
            let (jobs, events) = decode::<E>(jobs, &settle, &counters).await;
            if events.is_empty() {
                return;
            }
            let handled = AssertUnwindSafe(subscriber.on_batch(Context::of_batch(), events));
            let handled = handled.catch_unwind().await;
            // What a nested call's runtime said is this handler's word now.
            let handled = match handled {
                Ok(handled) => handled.map_err(|status| status.with_reason(None)),
                Err(panic) => Err(panicked(panic.as_ref())),
            };
            for job in &jobs {
                counters.record(&handled);
                settle.ack_or_nak(job, handled.clone()).await;
            }
        })
    }
}

/// Takes out what is no event, and what has been tried often enough.
async fn decode<E: Event>(
    jobs: Vec<PendingDelivery>,
    settle: &Acknowledger,
    counters: &EventCounters,
) -> (Vec<PendingDelivery>, Vec<Delivered<E>>) {
    let mut events = Vec::with_capacity(jobs.len());
    let mut kept = Vec::with_capacity(jobs.len());
    for job in jobs {
        if let Some(status) = settle.exhausted(&job) {
            settle.terminate(&job, &status).await;
            continue;
        }
        let decoded = settle
            .context(&job, None)
            .and_then(|_| event::decode::<E>(job.payload.clone()));
        match decoded {
            Ok(event) => {
                let delivery = job.delivery.clone();
                events.push(Delivered { event, delivery });
                kept.push(job);
            }
            Err(status) => {
                let failed = Err(status);
                counters.record(&failed);
                settle.ack_or_nak(&job, failed).await;
            }
        }
    }
    (kept, events)
}
