//! `Subscriber`: the trait that users implement to handle events on a server.

use std::future::Future;
use std::sync::Arc;

use crate::context::Context;
use crate::event::event::Event;
use crate::status::Status;

/// Handler of the events of one kind; see [`Server::subscribe`](crate::Server::subscribe).
///
/// `#[service]` on the impl is optional. With it, a mistake in the signature gives an error that names the
/// correct one, and the handler may take `self: Arc<Self>`.
///
/// # Examples
///
/// ```
/// # mod market { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doctest/market.inc")); }
/// use market::Trade;
/// use micro_runtime::{Context, Status, Subscriber, service};
///
/// struct Recorder;
///
/// #[service]
/// impl Subscriber<Trade> for Recorder {
///     async fn on_event(&self, ctx: Context, trade: Trade) -> Result<(), Status> {
///         println!("{}: {trade:?}", ctx.subject().unwrap_or_default());
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not subscribe to `{E}`",
    label = "no `impl Subscriber<{E}>` for this type",
    note = "write `#[service] impl Subscriber<{E}> for {Self} {{ async fn on_event(&self, ctx: Context, event: {E}) -> Result<(), Status> {{ … }} }}`"
)]
pub trait Subscriber<E: Event>: Send + Sync + 'static {
    /// Handles one event.
    ///
    /// The future is dropped at the timeout of the subscription, if it has one, and at the end of the
    /// server's grace period. A panic counts as a failure of this event and ends nothing else.
    ///
    /// # Errors
    ///
    /// A failure is counted and logged and does not end the subscription. A core event is lost then; a
    /// durable one is delivered again, see `jetstream::Durable`.
    fn on_event(&self, ctx: Context, event: E) -> impl Future<Output = Result<(), Status>> + Send;

    /// Called by the server. `#[service]` overrides it for a handler that takes `self: Arc<Self>`.
    #[doc(hidden)]
    fn __shared_on_event(
        self: Arc<Self>,
        ctx: Context,
        event: E,
    ) -> impl Future<Output = Result<(), Status>> + Send {
        async move { self.on_event(ctx, event).await }
    }
}

impl<E: Event, S: Subscriber<E>> Subscriber<E> for Arc<S> {
    fn on_event(&self, ctx: Context, event: E) -> impl Future<Output = Result<(), Status>> + Send {
        S::on_event(self, ctx, event)
    }

    fn __shared_on_event(
        self: Arc<Self>,
        ctx: Context,
        event: E,
    ) -> impl Future<Output = Result<(), Status>> + Send {
        S::__shared_on_event(Self::clone(&self), ctx, event)
    }
}

/// Companion macro of [`Subscriber`], under the trait's own name: `#[service]` calls it with the impl.
#[doc(hidden)]
#[macro_export]
macro_rules! __micro_Subscriber {
    ($($input:tt)*) => {
        $crate::codegen::subscriber_impl! { runtime($crate) $($input)* }
    };
}
