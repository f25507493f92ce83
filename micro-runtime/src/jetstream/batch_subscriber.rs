//! `BatchSubscriber`: the trait that users implement to handle many durable events in one call.

use std::future::Future;
use std::sync::Arc;

use crate::context::Context;
use crate::event::Event;
use crate::jetstream::durable_event::DurableEvent;
use crate::status::Status;

/// Handler of many durable events at a time, as in one transaction; see
/// [`Server::subscribe_batch`](crate::Server::subscribe_batch).
///
/// A batch has up to [`Durable::batch`](crate::jetstream::Durable::batch) events, 256 by default: those that
/// are there, without waiting for more. All are acknowledged once the handler returns `Ok`; after `Err`
/// all are tried again later. From its third attempt on an event comes in a batch of its own, so that
/// one that cannot be handled does not take others with it into the dead letters; so does one that may have
/// ended a process.
///
/// [`Context::for_delivery`] has the metadata, the trace and the subject of one of the events; the span of the
/// batch is linked to those of their publishers.
///
/// Events that are redelivered may have been handled before. The sequence names an event for good, and a
/// database can ignore one that it has.
///
/// # Examples
///
/// ```
/// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
/// use std::collections::BTreeMap;
/// use std::sync::Mutex;
///
/// use market::Trade;
/// use micro_runtime::jetstream::{BatchSubscriber, DurableEvent};
/// use micro_runtime::{Context, Status};
///
/// #[derive(Default)]
/// struct Recorder(Mutex<BTreeMap<u64, Trade>>);
///
/// impl BatchSubscriber<Trade> for Recorder {
///     async fn on_batch(&self, _ctx: Context, trades: Vec<DurableEvent<Trade>>) -> Result<(), Status> {
///         let mut recorded = self.0.lock().map_err(|_| Status::internal("a write failed"))?;
///         for trade in trades {
///             recorded.insert(trade.delivery.sequence(), trade.event);   // again is harmless
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle batches of `{E}`",
    note = "write `impl BatchSubscriber<{E}> for {Self}` with `async fn on_batch(&self, ctx: Context, events: Vec<DurableEvent<{E}>>) -> Result<(), Status>`"
)]
pub trait BatchSubscriber<E: Event>: Send + Sync + 'static {
    /// Handles the events, which are in the stream's order except for redelivered ones. There is at least
    /// one.
    ///
    /// # Errors
    ///
    /// A failure is counted and logged for each event, and all of them are tried again after
    /// [`Durable::backoff`](crate::jetstream::Durable::backoff), or given up. One that is final
    /// ([`Durable`](crate::jetstream::Durable), "Failures") gives an event up at once only if it is alone.
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
