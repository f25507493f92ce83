//! Runs handlers: the one runner of calls, streams, calls by hand, events and durable events.
//!
//! `dispatch`, `event` and `jetstream` turn a message into a [`HandlerFuture`] and decide where it
//! runs; everything that must hold for each handler, whatever it was made for, is held here.
//!
//! | file | holds |
//! |---|---|
//! | `execution` | one handler from its first poll to its end: span, deadline, stop, panic, outcome |
//! | `completion` | how an execution ended, and what its deadline does |
//! | `panic_guard` | destructors that panic |
//! | `concurrency_limit` | permits, which are refused and never waited for |
//! | `poll_once` | the trial poll in place, which wakes no task |
//! | `poll_cost`, `poll_timer` | the measure by which a handler runs in place or in a task of its own |
//! | `blocking` | handlers that block their thread |
//! | `handler_future`, `observer` | the two traits through which an execution sees the user's code and its counts |

mod blocking;
mod completion;
mod concurrency_limit;
mod execution;
#[cfg(test)]
mod execution_tests;
mod handler_future;
mod observer;
mod panic_guard;
mod poll_cost;
mod poll_once;
mod poll_timer;
#[cfg(test)]
mod span_journal;

pub(crate) use blocking::on_blocking_thread;
pub(crate) use completion::{Completion, DeadlinePolicy};
pub(crate) use concurrency_limit::{ConcurrencyLimit, acquire_all};
pub(crate) use execution::Execution;
pub(crate) use handler_future::{BoxFuture, BoxedHandler, HandlerFuture};
pub(crate) use observer::Observer;
pub(crate) use panic_guard::catch_panic;
pub(crate) use poll_cost::PollCost;
#[cfg(feature = "jetstream")]
pub(crate) use poll_once::poll_once;
pub(crate) use poll_timer::PollTimer;
#[cfg(test)]
pub(crate) use span_journal::Journal;
