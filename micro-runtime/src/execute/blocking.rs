//! Handlers under `#[rpc(blocking)]`: they run on tokio's threads for blocking work.

use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tracing::Span;

use crate::execute::handler_future::BoxFuture;
use crate::status::Status;

/// Moves a handler to a thread that it may block, within `span`.
///
/// A panic is passed on to whoever polls the returned future. Dropping that future does not end a
/// handler that has begun: tokio cannot end a thread.
pub(crate) fn on_blocking_thread<T: Send + 'static>(
    future: BoxFuture<'static, T>,
    span: Span,
) -> BoxFuture<'static, T> {
    Box::pin(async move {
        let runtime = Handle::current();
        let run = move || span.in_scope(|| runtime.block_on(future));
        let ran = tokio::task::spawn_blocking(run).await;
        ran.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(Status::unavailable("the runtime stops").with_source(error)),
        })
    })
}
