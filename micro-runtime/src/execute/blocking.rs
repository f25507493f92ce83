//! Handlers under `#[rpc(blocking)]`: they run on tokio's threads for blocking work.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tracing::{Instrument as _, Span};

use crate::decode::on_thread_that_may_block;
use crate::execute::handler_future::BoxFuture;
use crate::status::Status;
use crate::sync::lock;

/// Moves a handler to a thread that it may block. It is polled and dropped within `span`.
///
/// The returned future only waits for that thread. So it is cheap to poll, its deadline is kept by the
/// runtime's timer while the handler blocks. `held`, its permit, is dropped once the thread is free again: the limits
/// of the method hold it to as many threads as there are permits.
///
/// - A panic is passed on to the execution that polls the returned future, as if it had happened there.
/// - Dropping the returned future, as at the deadline, drops a handler that waits for a thread. It does not end one
///   that has begun, since nothing can end a thread: its result is dropped.
///
/// # Errors
///
/// The handler's status; `UNAVAILABLE` if the runtime shuts down before a thread was free.
pub(crate) fn on_blocking_thread<T: Send + 'static>(
    future: BoxFuture<'static, T>,
    span: Span,
    held: impl Send + 'static,
) -> BoxFuture<'static, T> {
    Box::pin(async move {
        let runtime = Handle::current();
        // The span goes with the future, which is dropped without running where it is given up before.
        let handler = (future.instrument(span), held);
        let waiting = WaitingHandler(Arc::new(Mutex::new(Some(handler))));
        let handler = Arc::clone(&waiting.0);
        let run = move || {
            let taken = lock(&handler).take();
            let Some((future, held)) = taken else {
                return Err(Status::unavailable("the call has ended"));
            };
            let result = on_thread_that_may_block(|| runtime.block_on(future));
            drop(held);
            result
        };
        let ran = tokio::task::spawn_blocking(run).await;
        ran.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(Status::unavailable("the runtime stops").with_source(error)),
        })
    })
}

/// A handler that waits for a thread, unless that has taken it. It is dropped with its call: nobody waits for it any
/// more, and its permit must not wait for a thread to become free.
struct WaitingHandler<H>(Arc<Mutex<Option<H>>>);

impl<H> Drop for WaitingHandler<H> {
    fn drop(&mut self) {
        let waiting = lock(&self.0).take();
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn a_blocking_handler_runs_on_another_thread() {
        let handler = Box::pin(async { Ok(thread::current().id()) });
        let used = on_blocking_thread(handler, Span::none(), ()).await.unwrap();
        assert_ne!(used, thread::current().id());
    }

    #[tokio::test]
    async fn a_panic_on_the_thread_is_a_panic_of_the_future() {
        let handler: BoxFuture<'_, ()> = Box::pin(async { panic!("no disk") });
        let waiting = tokio::spawn(on_blocking_thread(handler, Span::none(), ()));
        let panic = waiting.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"no disk"));
    }

    #[test]
    fn a_handler_that_is_given_up_while_it_waits_for_a_thread_never_runs() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (free, occupied) = std::sync::mpsc::channel::<()>();
            let occupant = tokio::task::spawn_blocking(move || occupied.recv());
            let held = Arc::new(());
            let handler: BoxFuture<'_, ()> = Box::pin(async { panic!("it runs") });
            let mut call = on_blocking_thread(handler, Span::none(), Arc::clone(&held));
            assert!(futures_util::poll!(&mut call).is_pending());
            assert_eq!(Arc::strong_count(&held), 2);
            drop(call);
            assert_eq!(Arc::strong_count(&held), 1);
            free.send(()).unwrap();
            occupant.await.unwrap().unwrap();
            // The only thread has passed the handler by.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        });
    }
}
