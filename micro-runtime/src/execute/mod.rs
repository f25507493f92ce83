//! Runs handlers: the one runner of calls, streams, events and durable events.

mod blocking;
mod concurrency_limit;
mod execution;
mod handler_future;
mod observer;
mod poll_cost;

pub(crate) use blocking::on_blocking_thread;
pub(crate) use concurrency_limit::{ConcurrencyLimit, acquire_all};
pub(crate) use execution::{AtDeadline, Ended, Execution, deadline_passed};
pub(crate) use handler_future::{BoxFuture, BoxedHandler, HandlerFuture};
pub(crate) use observer::Observer;
pub(crate) use poll_cost::{PollCost, PollTimer};
