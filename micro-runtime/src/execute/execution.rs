//! `Execution`: the one runner of handlers, of unary and streaming calls, calls by hand, events and
//! durable events.
//!
//! What holds for every handler is written here once:
//!
//! | rule | where |
//! |---|---|
//! | polls run within the span, which continues the caller's trace | [`Execution::new`], [`Execution::poll`] |
//! | the first poll is timed, so that a method that proved short runs in place | [`Execution::poll`] |
//! | a panic is a status, is logged, and ends nothing but this handler | [`Execution::poll`] |
//! | a handler that outlives its deadline or the server is dropped | [`Execution::run`] |
//! | a destructor that panics ends nothing either, at whichever end | [`Guarded`] |
//! | the outcome is counted once, before the reply leaves | [`Execution::run`], [`Observer::record`] |
//! | the context ends with the handler | [`ActiveContext`] |

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::execute::handler_future::HandlerFuture;
use crate::execute::observer::Observer;
use crate::execute::poll_cost::PollCost;
use crate::observe;
use crate::status::{Reason, Status};

/// One handler at work, for one call, event or batch of events.
pub(crate) struct Execution<H: HandlerFuture, O: Observer> {
    // Dropped first: destructors of the handler may still look at the context.
    handler: Guarded<H>,
    ctx: ActiveContext,
    observer: O,
    is_fresh: bool,
}

/// How an execution came to its end.
pub(crate) enum Ended<T> {
    /// The handler returned or panicked.
    Returned(Result<T, Status>),
    /// The deadline of the context passed.
    DeadlinePassed,
    /// The grace period of the server ended.
    Stopped,
}

/// What happens to a handler that outlives its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtDeadline {
    /// It is dropped.
    Drop,
    /// It goes on, for `#[rpc(detached)]`; nothing of it is sent or counted any more.
    Detach,
}

impl<H: HandlerFuture, O: Observer> Execution<H, O> {
    /// Prepares a handler; nothing of it runs before the first poll.
    pub(crate) fn new(ctx: Context, handler: H, observer: O) -> Self {
        observe::extract(observer.span(), ctx.trace());
        Self {
            handler: Guarded(Some(handler)),
            ctx: ActiveContext(Some(ctx)),
            observer,
            is_fresh: true,
        }
    }

    /// Polls the handler within its span. A panic is the handler's failure; what is left of the
    /// handler is dropped then.
    ///
    /// With `cost`, the first poll is timed.
    pub(crate) fn poll(
        &mut self,
        cost: Option<&PollCost>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<H::Output, Status>> {
        let Some(handler) = &mut self.handler.0 else {
            return Poll::Pending;
        };
        let cost = cost.filter(|_| std::mem::take(&mut self.is_fresh));
        let started = cost.map(|cost| (cost, Instant::now()));
        let polled = {
            let _entered = self.observer.span().enter();
            catch_unwind(AssertUnwindSafe(|| handler.poll(cx)))
        };
        if let Some((cost, started)) = started {
            cost.record(started.elapsed());
        }
        polled.unwrap_or_else(|panic| {
            let status = self.observer.panicked(text_of(panic.as_ref()));
            self.drop_handler();
            Poll::Ready(Err(status))
        })
    }

    /// Polls the handler once, in the task of the caller, without a promise to poll it again: the
    /// task that goes on with it polls it anew.
    pub(crate) fn poll_once(&mut self, cost: Option<&PollCost>) -> Poll<Result<H::Output, Status>> {
        self.poll(cost, &mut TaskContext::from_waker(Waker::noop()))
    }

    /// Runs the handler until it returns, its deadline passes, or `stop` is canceled. Except for what
    /// `at_deadline` lets go on, the handler is dropped when this returns.
    ///
    /// Cancel safe: dropping the future leaves the handler as it is.
    pub(crate) async fn run(
        &mut self,
        cost: Option<&PollCost>,
        stop: &CancellationToken,
        at_deadline: AtDeadline,
    ) -> Ended<H::Output> {
        let deadline = self.ctx().and_then(Context::deadline);
        let ended = tokio::select! {
            biased;
            result = poll_fn(|cx| self.poll(cost, cx)) => Ended::Returned(result),
            () = passed(deadline) => Ended::DeadlinePassed,
            () = stop.cancelled() => Ended::Stopped,
        };
        if !matches!(
            (&ended, at_deadline),
            (Ended::DeadlinePassed, AtDeadline::Detach)
        ) {
            self.drop_handler();
        }
        ended
    }

    /// Drops the handler. A destructor that panics is logged, as a panic of the handler is.
    pub(crate) fn drop_handler(&mut self) {
        if let Some(panic) = self.handler.clear() {
            self.observer.panicked(text_of(panic.as_ref()));
        }
    }

    /// The context that the handler got. It is there as long as the execution is.
    pub(crate) fn ctx(&self) -> Option<&Context> {
        self.ctx.0.as_ref()
    }

    pub(crate) fn observer(&mut self) -> &mut O {
        &mut self.observer
    }

    /// Goes on with the same handler in another place and with an observer that lives as long.
    pub(crate) fn suspend<G: HandlerFuture, P: Observer>(
        mut self,
        handler: impl FnOnce(H) -> G,
        observer: impl FnOnce(O) -> P,
    ) -> Execution<G, P> {
        Execution {
            handler: Guarded(self.handler.0.take().map(handler)),
            ctx: self.ctx,
            observer: observer(self.observer),
            is_fresh: self.is_fresh,
        }
    }

    /// Drops the handler and ends its context, whose memory the next event may have.
    pub(crate) fn into_context(mut self) -> Option<Context> {
        self.drop_handler();
        self.ctx.end()
    }
}

impl<T> Ended<T> {
    /// Outcome of the execution named `name`, as a caller gets it.
    pub(crate) fn into_result(self, name: &str) -> Result<T, Status> {
        match self {
            Self::Returned(result) => result,
            Self::DeadlinePassed => Err(deadline_passed(name)),
            Self::Stopped => {
                Err(Reason::ShuttingDown.status(format!("the server stopped while {name} ran")))
            }
        }
    }
}

/// Outcome of a handler that outlived its deadline.
pub(crate) fn deadline_passed(name: &str) -> Status {
    Reason::Deadline.status(format!(
        "the handler of {name} did not end before the deadline"
    ))
}

/// A handler that is dropped even if its destructors panic.
struct Guarded<H: HandlerFuture>(Option<H>);

impl<H: HandlerFuture> Guarded<H> {
    /// Drops the handler; returns the payload of a destructor that panicked.
    fn clear(&mut self) -> Option<Box<dyn Any + Send>> {
        let mut handler = self.0.take()?;
        let cleared = catch_unwind(AssertUnwindSafe(|| handler.clear()));
        // Nothing is left in it whose destructor could panic once more.
        drop(handler);
        cleared.err()
    }
}

impl<H: HandlerFuture> Drop for Guarded<H> {
    fn drop(&mut self) {
        if let Some(panic) = self.clear() {
            tracing::error!(
                panic = text_of(panic.as_ref()),
                "a destructor of a handler panicked"
            );
        }
    }
}

/// The context of a handler at work. Tasks that the handler left behind see it end with this.
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

/// Text of a panic, as the standard library prints it.
fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
