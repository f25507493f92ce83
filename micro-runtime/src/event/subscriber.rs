//! `Subscriber`: the trait of handlers of events.

use std::future::Future;
use std::sync::Arc;

use crate::context::Context;
use crate::event::event::Event;
use crate::status::Status;

/// Handles events of one kind; see [`Server::subscribe`](crate::Server::subscribe).
///
/// Under `#[service]` mistakes in the signature are told in plain words; a plain impl works too.
///
/// # Examples
///
/// ```ignore
/// #[service]
/// impl Subscriber<Trade> for Recorder {
///     async fn on_event(&self, ctx: Context, trade: Trade) -> Result<(), Status> {
///         self.store(trade).await
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not subscribe to `{E}`",
    label = "no `impl Subscriber<{E}>` for this type",
    note = "write `#[service] impl Subscriber<{E}> for {Self} {{ async fn on_event(&self, ctx: Context, event: {E}) -> Result<(), Status> {{ … }} }}`"
)]
pub trait Subscriber<E: Event>: Send + Sync + 'static {
    /// Handles one event. A failure is counted and logged by the server, and does not end the
    /// subscription; what becomes of the event then is up to the kind of subscription.
    fn on_event(&self, ctx: Context, event: E) -> impl Future<Output = Result<(), Status>> + Send;

    /// What the server calls; `#[service]` puts a handler here that takes `self: Arc<Self>`.
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

/// The table of [`Subscriber`], of the trait's own name: `#[service]` calls it.
#[doc(hidden)]
#[macro_export]
macro_rules! __micro_Subscriber {
    ($($input:tt)*) => {
        $crate::codegen::subscriber_impl! { runtime($crate) $($input)* }
    };
}
