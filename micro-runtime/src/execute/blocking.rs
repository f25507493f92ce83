//! Handlers under `#[rpc(blocking)]`: they run on tokio's threads for blocking work.

use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tracing::{Instrument as _, Span};

use crate::execute::handler_future::BoxFuture;
use crate::status::Status;

/// Moves a handler to a thread that it may block. It is polled and dropped within `span`.
///
/// The returned future only waits for that thread. So it is cheap to poll, its deadline is kept by the
/// runtime's timer while the handler blocks, and the limits of the method hold it to as many threads
/// as there are permits.
///
/// - A panic is passed on to the execution that polls the returned future, as if it had happened there.
/// - Dropping the returned future, as at the deadline, ends neither a handler that has begun nor one
///   that waits for a thread: tokio cannot end a thread. Its result is dropped, and its permit is
///   given back before it has ended.
///
/// # Errors
///
/// The handler's status; `UNAVAILABLE` if the runtime shuts down before a thread was free.
pub(crate) fn on_blocking_thread<T: Send + 'static>(
    future: BoxFuture<'static, T>,
    span: Span,
) -> BoxFuture<'static, T> {
    Box::pin(async move {
        let runtime = Handle::current();
        // The span goes with the future: a runtime that shuts down drops it without running the closure.
        let future = future.instrument(span);
        let run = move || runtime.block_on(future);
        let ran = tokio::task::spawn_blocking(run).await;
        ran.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(Status::unavailable("the runtime stops").with_source(error)),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn a_blocking_handler_runs_on_another_thread() {
        let handler = Box::pin(async { Ok(thread::current().id()) });
        let used = on_blocking_thread(handler, Span::none()).await.unwrap();
        assert_ne!(used, thread::current().id());
    }

    #[tokio::test]
    async fn a_panic_on_the_thread_is_a_panic_of_the_future() {
        let handler: BoxFuture<'_, ()> = Box::pin(async { panic!("no disk") });
        let waiting = tokio::spawn(on_blocking_thread(handler, Span::none()));
        let panic = waiting.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"no disk"));
    }
}
