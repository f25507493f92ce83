//! `Execution`: the one runner of handlers, of unary and streaming calls, calls by hand, events and
//! durable events.
//!
//! Rules that hold for every handler, each written once:
//!
//! | rule | where |
//! |---|---|
//! | the handler is polled and dropped within the span, which continues the caller's trace | [`Execution::new`], [`Execution::poll`], [`Execution::drop_handler`] |
//! | the first poll is timed, so that a method that proved short runs in place | [`Execution::poll`]; of a unary call in place by its owner |
//! | a panic is a status, is logged, and ends nothing but this handler | [`Execution::poll`] |
//! | a handler that outlives its deadline or the server is dropped | [`Execution::run`]; for a stream its machine, see `dispatch::served_stream` |
//! | a handler under `#[rpc(detached)]` goes on after the end of its call, up to the end of the grace period | [`Execution::run_detached`] |
//! | a handler whose execution is dropped midway is dropped by the same rules | `Drop for Execution` |
//! | a destructor that panics ends nothing either, wherever the handler is dropped | [`PanicGuard`] |
//! | the outcome is counted at most once | [`Execution::record`] |
//! | the context ends after the handler was dropped | [`ActiveContext`] |
//!
//! # Where handlers are polled
//!
//! | of | first poll | polls after it |
//! |---|---|---|
//! | a unary call | in the loop that reads the subscription while the method has proved short, else in a task of its own | in that task |
//! | a stream | in the stream's task, in turns with the driver of its frames | the same |
//! | a call by hand | in a task of its own | the same |
//! | an event that is not stored | in the loop that reads the subscription while its handlers have proved short and no worker is behind, else in a worker | in a worker |
//! | a durable event, or a batch of them | in the consumer loop while the handlers have proved short, else in a task | in a task |
//!
//! With `#[rpc(blocking)]` the polled future only waits for a thread of its own, see
//! [`on_blocking_thread`](crate::execute::on_blocking_thread).
//!
//! # Order at the end of a handler
//!
//! 1. The handler is ready, has panicked, or is given up.
//! 2. The handler is dropped: what it held (a lock, a database connection) is free before its caller can
//!    send the next request. A handler that returned in place is an exhausted `async` block by then.
//! 3. The outcome is counted. A caller that reads STATS after its reply finds its call counted.
//! 4. The reply or the acknowledgment is sent.
//! 5. The context ends. Tasks that the handler left behind and that wait for
//!    [`Context::ended`] go on from here.
//! 6. The permit is given back: a call counts as running until its reply has left.
//!
//! Steps 3, 4 and 6 are the owner's: it calls [`record`](Execution::record), sends, and drops the
//! execution before the permit.
//!
//! Owners that differ:
//!
//! - The messages of a stream and of a call by hand leave while the handler runs. Step 4 is their END, and
//!   step 3 comes before that only.
//! - Of an event the context ends before step 4, since the execution ends with its handler
//!   ([`end`](Execution::end) in place, [`run`](Execution::run) in a task); the
//!   acknowledgment of a durable one follows. A batch keeps the order above.
//! - A detached handler whose call ends first is dropped after step 4. The end of the call, as the passed
//!   deadline, is its outcome, which is counted and sent then; the context ends, and the permit is given back,
//!   once the handler has returned.

use std::future::poll_fn;
use std::task::{Context as TaskContext, Poll};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::execute::completion::{Completion, DeadlinePolicy};
use crate::execute::handler_future::HandlerFuture;
use crate::execute::observer::Observer;
use crate::execute::panic_guard::{PanicGuard, catch_panic};
use crate::execute::poll_cost::{PollCost, RealInstant};
use crate::execute::poll_once::poll_once;
use crate::observe;
use crate::status::Status;

/// One handler at work, for one call, event or batch of events.
///
/// Dropping it, as when its task is aborted, drops the handler within its span and then ends the context.
/// Nothing is counted and nothing is sent then.
pub(crate) struct Execution<H: HandlerFuture, O: Observer> {
    // `Drop` drops the handler, and the fields follow: its destructors still find the context active.
    handler: PanicGuard<H>,
    ctx: ActiveContext,
    observer: O,
    is_fresh: bool,
    is_recorded: bool,
}

impl<H: HandlerFuture, O: Observer> Execution<H, O> {
    /// Prepares a handler, and makes the span of `ctx`'s trace the parent of the observer's span.
    /// Nothing of the handler runs before the first poll.
    ///
    /// `ctx` is the context that the handler has as well; its deadline is the one that
    /// [`run`](Self::run) keeps.
    pub(crate) fn new(ctx: Context, handler: H, observer: O) -> Self {
        observe::extract(observer.span(), ctx.trace());
        Self {
            handler: PanicGuard::new(handler),
            ctx: ActiveContext(Some(ctx)),
            observer,
            is_fresh: true,
            is_recorded: false,
        }
    }

    /// Polls the handler within its span. After a panic the rest of the handler is dropped, and the
    /// result is the status of [`Observer::panicked`]. Once the handler is dropped the result is
    /// `Pending` for good.
    ///
    /// The first poll is timed if there is a `cost`. Later polls are not, whether the first one was
    /// timed or not: they do not run in place.
    pub(crate) fn poll(
        &mut self,
        cost: Option<&PollCost>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<H::Output, Status>> {
        let is_first = std::mem::take(&mut self.is_fresh);
        let Some(handler) = self.handler.get_mut() else {
            return Poll::Pending;
        };
        let started = cost
            .filter(|_| is_first)
            .map(|cost| (cost, RealInstant::now()));
        let polled = {
            let _entered = self.observer.span().enter();
            catch_panic(|| handler.poll(cx))
        };
        if let Some((cost, started)) = started {
            cost.record(started.elapsed());
        }
        match polled {
            Ok(polled) => {
                if H::IS_CLEARED_WHEN_READY && polled.is_ready() {
                    self.handler.set_cleared();
                }
                polled
            }
            Err(panic) => Poll::Ready(Err(self.fail(&panic))),
        }
    }

    #[cold]
    fn fail(&mut self, panic: &str) -> Status {
        let status = {
            let _entered = self.observer.span().enter();
            self.observer.panicked(panic)
        };
        self.drop_handler();
        status
    }

    /// Returns whether the handler has not begun, and its deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        let deadline = self.ctx().and_then(Context::deadline);
        self.is_fresh && deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Polls the handler once without registering a task that it could wake, see [`poll_once`].
    pub(crate) fn poll_once(&mut self, cost: Option<&PollCost>) -> Poll<Result<H::Output, Status>> {
        poll_once(|cx| self.poll(cost, cx))
    }

    /// Runs the handler until it returns, its deadline passes, or `stop` is canceled.
    ///
    /// A handler that is ready is never given up: it is polled before deadline and `stop` are looked
    /// at. When this returns the handler has been dropped, unless its deadline passed and
    /// `at_deadline` is [`DeadlinePolicy::Detach`]; the owner may poll it on then.
    ///
    /// Cancel safe: dropping the returned future leaves the handler as it is, and the next `run` goes on
    /// with it.
    pub(crate) async fn run(
        &mut self,
        cost: Option<&PollCost>,
        stop: &CancellationToken,
        at_deadline: DeadlinePolicy,
    ) -> Completion<H::Output> {
        let ctx = self.ctx().cloned();
        let completion = tokio::select! {
            biased;
            result = poll_fn(|cx| self.poll(cost, cx)) => Completion::Returned(result),
            () = deadline_reached(ctx.as_ref()) => Completion::DeadlinePassed,
            () = stop.cancelled() => Completion::Stopped,
        };
        if !completion.is_detached(at_deadline) {
            self.drop_handler();
        }
        completion
    }

    /// Polls on a handler that was detached at its deadline, until it returns or `stop` is canceled, and
    /// drops it. Its result is neither sent nor counted.
    pub(crate) async fn run_detached(&mut self, stop: &CancellationToken) {
        tokio::select! {
            biased;
            _ = poll_fn(|cx| self.poll(None, cx)) => {}
            () = stop.cancelled() => {}
        }
        self.drop_handler();
    }

    /// Drops the handler within its span. A destructor that panics is logged, and changes no outcome.
    pub(crate) fn drop_handler(&mut self) {
        if self.handler.is_cleared() {
            return;
        }
        let _entered = self.observer.span().enter();
        if let Some(panic) = self.handler.clear() {
            self.observer.destructor_panicked(&panic);
        }
    }

    /// Counts the outcome, `None` for success, before the reply or the acknowledgment is sent. Only
    /// the first call counts, so that an owner with several ends, as a stream is, may call this at each.
    pub(crate) fn record(&mut self, failure: Option<&Status>) {
        if !std::mem::replace(&mut self.is_recorded, true) {
            self.observer.record(failure);
        }
    }

    /// Returns the context that the handler got. It is there as long as the execution is.
    pub(crate) fn ctx(&self) -> Option<&Context> {
        self.ctx.0.as_ref()
    }

    pub(crate) fn observer(&mut self) -> &mut O {
        &mut self.observer
    }

    /// Moves a handler that has to wait to another owner, as from the slot of an event that is handled
    /// in place into a box. Context, span and the record of the outcome go with it: `observer` takes
    /// them out of the old observer, which is dropped.
    pub(crate) fn map<G: HandlerFuture, P: Observer>(
        mut self,
        handler: impl FnOnce(H) -> G,
        observer: impl FnOnce(&mut O) -> P,
    ) -> Execution<G, P> {
        Execution {
            handler: self.handler.take().map(handler),
            ctx: ActiveContext(self.ctx.0.take()),
            observer: observer(&mut self.observer),
            is_fresh: self.is_fresh,
            is_recorded: self.is_recorded,
        }
    }

    /// Drops the handler and ends its context, whose memory the next event may use.
    pub(crate) fn end(&mut self) -> Option<Context> {
        self.drop_handler();
        self.ctx.end()
    }
}

impl<H: HandlerFuture, O: Observer> Drop for Execution<H, O> {
    fn drop(&mut self) {
        self.drop_handler();
    }
}

/// The context of a handler at work; `None` inside once it has ended.
///
/// It ends exactly when the execution does, however that comes about, so that calls that were made
/// [`.within(&ctx)`](crate::call::UnaryCall::within) and tasks that the handler left behind end too.
struct ActiveContext(Option<Context>);

impl ActiveContext {
    fn end(&mut self) -> Option<Context> {
        let ctx = self.0.take()?;
        ctx.end();
        Some(ctx)
    }
}

impl Drop for ActiveContext {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for the deadline of a context, which its handler may move meanwhile ([`Context::progress`]).
async fn deadline_reached(ctx: Option<&Context>) {
    let mut reached = None;
    while let Some(deadline) = ctx.and_then(Context::deadline)
        && reached != Some(deadline)
    {
        tokio::time::sleep_until(deadline).await;
        reached = Some(deadline);
    }
    if reached.is_none() {
        std::future::pending::<()>().await;
    }
}
